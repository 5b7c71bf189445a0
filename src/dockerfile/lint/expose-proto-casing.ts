import { type LintRule, ruleUrl } from './rule.ts'

/** `EXPOSE 80/TCP`. */
export const exposeProtoCasing: LintRule = {
  name: 'ExposeProtoCasing',
  description: 'Protocol in EXPOSE instruction should be lowercase',
  url: ruleUrl('expose-proto-casing'),
  on: {
    port({ word, protocol }, report) {
      if (protocol !== protocol.toLowerCase())
        report(`Defined protocol '${word}' in EXPOSE instruction should be lowercase`)
    },
  },
}
