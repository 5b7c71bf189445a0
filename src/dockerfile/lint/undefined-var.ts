import { type LintRule, ruleUrl } from './rule.ts'

/** A variable that has no value where it is used. */
export const undefinedVar: LintRule = {
  name: 'UndefinedVar',
  description: 'Variables should be defined before their use',
  url: ruleUrl('undefined-var'),
  on: {
    variables({ unset, known }, report, suggest) {
      for (const name of unset) {
        const match = suggest(name, known)
        report(`Usage of undefined variable '$${name}'${match === undefined ? '' : ` (did you mean $${match}?)`}`)
      }
    },
  },
}
