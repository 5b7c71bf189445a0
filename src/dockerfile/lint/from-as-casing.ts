import { type LintRule, ruleUrl } from './rule.ts'

/** `FROM … as` and `from … AS`. A FROM in mixed case is ConsistentInstructionCasing's. */
export const fromAsCasing: LintRule = {
  name: 'FromAsCasing',
  description: "The 'as' keyword should match the case of the 'from' keyword",
  url: ruleUrl('from-as-casing'),
  on: {
    instruction(instruction, report) {
      if (instruction.kind !== 'FROM' || instruction.asKeyword === undefined) return
      const { keyword: from, asKeyword: as } = instruction
      const isLower = from === from.toLowerCase()
      if (!isLower && from !== from.toUpperCase()) return
      if (as !== (isLower ? as.toLowerCase() : as.toUpperCase()))
        report(`'${as}' and '${from}' keywords' casing do not match`)
    },
  },
}
