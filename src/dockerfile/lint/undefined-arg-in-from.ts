import { type LintRule, ruleUrl } from './rule.ts'

/** A variable in FROM that no ARG before the first FROM declares. */
export const undefinedArgInFrom: LintRule = {
  name: 'UndefinedArgInFrom',
  description: 'FROM command must use declared ARGs',
  url: ruleUrl('undefined-arg-in-from'),
  on: {
    fromVariables({ unset, known }, report, suggest) {
      for (const name of unset) {
        if (known.has(name)) continue
        const match = suggest(name, known)
        report(`FROM argument '${name}' is not declared${match === undefined ? '' : ` (did you mean ${match}?)`}`)
      }
    },
  },
}
