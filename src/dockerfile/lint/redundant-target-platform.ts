import { type LintRule, ruleUrl } from './rule.ts'

/** `FROM --platform=$TARGETPLATFORM`. */
export const redundantTargetPlatform: LintRule = {
  name: 'RedundantTargetPlatform',
  description: 'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
  url: ruleUrl('redundant-target-platform'),
  on: {
    fromPlatform({ written, expanded, target }, report) {
      const { matched, unmatched, result } = expanded
      const isTarget = matched.size === 1 && matched.has('TARGETPLATFORM') && unmatched.size === 0
      if (!isTarget || result !== target) return
      report(`Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`)
    },
  },
}
