import { quoteGo } from '../characters.ts'
import { type LintRule, ruleUrl } from './rule.ts'

const reserved: ReadonlySet<string> = new Set(['context', 'scratch'])

/** Stages that are called as what FROM and `COPY --from` already know. */
export const reservedStageName: LintRule = {
  name: 'ReservedStageName',
  description: 'Reserved words should not be used as stage names',
  url: ruleUrl('reserved-stage-name'),
  on: {
    file({ stages }, report) {
      for (const { from } of stages)
        if (from.name !== undefined && reserved.has(from.name))
          report(`Stage name should not use the same name as reserved stage ${quoteGo(from.name)}`, from)
    },
  },
}
