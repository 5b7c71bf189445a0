import type { Dockerfile, FromInstruction, Instruction } from '../instruction.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/** Instructions in another case than most of the file; as many of both make upper case right. */
export const consistentInstructionCasing: LintRule = {
  name: 'ConsistentInstructionCasing',
  description: 'All commands within the Dockerfile should use the same casing (either upper or lower)',
  url: ruleUrl('consistent-instruction-casing'),
  on: {
    file(file, report) {
      let balance = 0
      for (const { keyword } of instructionsOf(file)) {
        if (keyword === keyword.toLowerCase()) balance++
        else if (keyword === keyword.toUpperCase()) balance--
      }
      const isLower = balance > 0
      for (const instruction of instructionsOf(file)) {
        const { keyword } = instruction
        if (keyword === (isLower ? keyword.toLowerCase() : keyword.toUpperCase())) continue
        const casing = isLower ? 'lowercase' : 'uppercase'
        report(`Command '${keyword}' should match the case of the command majority (${casing})`, instruction)
      }
    },
  },
}

function* instructionsOf({ stages }: Dockerfile): Generator<FromInstruction | Instruction> {
  for (const { from, instructions } of stages) {
    yield from
    yield* instructions
  }
}
