import { type LintRule, ruleUrl } from './rule.ts'

/** A shell between the container's init and the program takes its signals. Whoever sets SHELL chose that. */
export const jsonArgsRecommended: LintRule = {
  name: 'JSONArgsRecommended',
  description: 'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
  url: ruleUrl('json-args-recommended'),
  on: {
    command({ keyword, defaultShell }, report) {
      if (!defaultShell) return
      report(`JSON arguments recommended for ${keyword} to prevent unintended behavior related to OS signals`)
    },
  },
}
