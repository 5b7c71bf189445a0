import { quoteGo } from '../characters.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/** Two stages of one name: from the second on, the first cannot be named. */
export const duplicateStageName: LintRule = {
  name: 'DuplicateStageName',
  description: 'Stage names should be unique',
  url: ruleUrl('duplicate-stage-name'),
  on: {
    file({ stages }, report) {
      const seen = new Set<string>()
      for (const { from } of stages) {
        if (from.name === undefined) continue
        if (seen.has(from.name))
          report(`Duplicate stage name ${quoteGo(from.name)}, stage names should be unique`, from)
        seen.add(from.name)
      }
    },
  },
}
