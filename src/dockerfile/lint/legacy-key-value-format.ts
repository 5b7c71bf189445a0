import { type LintRule, ruleUrl } from './rule.ts'

/** `ENV key value`. */
export const legacyKeyValueFormat: LintRule = {
  name: 'LegacyKeyValueFormat',
  description: 'Legacy key/value format with whitespace separator should not be used',
  url: ruleUrl('legacy-key-value-format'),
  on: {
    key({ keyword, legacy }, report) {
      if (legacy) report(`"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`)
    },
  },
}
