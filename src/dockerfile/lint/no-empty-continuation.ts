import { type LintRule, ruleUrl } from './rule.ts'

/** An empty line within an instruction that goes on. The lexer passes over it and tells. */
export const noEmptyContinuation: LintRule = {
  name: 'NoEmptyContinuation',
  description: 'Empty continuation lines will become errors in a future release',
  url: ruleUrl('no-empty-continuation'),
  on: {
    read({ rule, detail }, report) {
      if (rule === 'NoEmptyContinuation') report(detail)
    },
  },
}
