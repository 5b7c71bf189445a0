import { type LintRule, ruleUrl } from './rule.ts'

/** Warns about the one that has no effect: the earlier. */
export const multipleInstructionsDisallowed: LintRule = {
  name: 'MultipleInstructionsDisallowed',
  description: 'Multiple instructions of the same type should not be used in the same stage',
  url: ruleUrl('multiple-instructions-disallowed'),
  on: {
    command({ keyword, previous }, report) {
      if (previous === undefined) return
      const detail = `Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`
      report(detail, previous)
    },
  },
}
