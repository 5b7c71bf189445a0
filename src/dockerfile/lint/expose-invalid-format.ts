import { type LintRule, ruleUrl } from './rule.ts'

/** `EXPOSE 8080:80`: what is before the container's port has no effect. */
export const exposeInvalidFormat: LintRule = {
  name: 'ExposeInvalidFormat',
  description:
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
  url: ruleUrl('expose-invalid-format'),
  on: {
    port({ word, mapped }, report) {
      if (mapped) report(`EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`)
    },
  },
}
