import { type LintRule, ruleUrl } from './rule.ts'

/** Names of stages are compared without case, so only one case should be written. */
export const stageNameCasing: LintRule = {
  name: 'StageNameCasing',
  description: 'Stage names should be lowercase',
  url: ruleUrl('stage-name-casing'),
  on: {
    instruction(instruction, report) {
      if (instruction.kind !== 'FROM' || instruction.nameAsWritten === instruction.name) return
      report(`Stage name '${instruction.nameAsWritten}' should be lowercase`)
    },
  },
}
