import { quoteGo } from '../characters.ts'
import { type LintRule, ruleUrl } from './rule.ts'

const secretWords = 'apikey|auth|credential|credentials|key|password|pword|passwd|secret|token'
const secret = new RegExp(`(?:_|^)(?:${secretWords})(?:_|$)`, 'i')
const harmless = /(?:_|^)(?:public|file|version)(?:_|$)/i

/** True for a name that says that its value is a secret. */
export function namesSecret(name: string): boolean {
  return secret.test(name) && !harmless.test(name)
}

/** Names that say their value is a secret: values of ARG and ENV stay in the image's history and configuration. */
export const secretsUsedInArgOrEnv: LintRule = {
  name: 'SecretsUsedInArgOrEnv',
  description: 'Sensitive data should not be used in the ARG or ENV commands',
  url: ruleUrl('secrets-used-in-arg-or-env'),
  on: {
    key({ kind, key }, report) {
      if (kind === 'LABEL' || !namesSecret(key)) return
      report(`Do not use ARG or ENV instructions for sensitive data (${kind} ${quoteGo(key)})`)
    },
  },
}
