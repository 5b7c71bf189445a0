import type { LintRule } from './rule.ts'

/** A flag where BuildKit reads none and reports none: on ARG, STOPSIGNAL and HEALTHCHECK NONE. */
export const ignoredFlag: LintRule = {
  name: 'IgnoredFlag',
  description: 'The instruction takes no flags, so the flag has no effect',
  on: {
    read({ rule, detail }, report) {
      if (rule === 'IgnoredFlag') report(detail)
    },
  },
}
