import type { ImageConfig } from '../../oci/config.ts'
import { urlCredentials } from './credential-files.ts'
import { tokensInText } from './file-scanner.ts'
import { isPlaceholder } from './placeholder.ts'
import { assignmentsIn, isSecretName, isSecretValue } from './secret-names.ts'
import type { SecretRule } from './secret-rule.ts'

/** A secret in an image's config. */
export interface ConfigSecret {
  readonly rule: SecretRule
  readonly value: string
  /** The field: `config.Env`, `config.Labels`, `config.Cmd`, `history[3]`. */
  readonly field: string
  /** The variable, label or option; undefined where the value stands by itself. */
  readonly name: string | undefined
}

const named: SecretRule = { id: 'config-secret', title: 'Secret value', level: 'error' }
const authorization: SecretRule = { id: 'authorization-header', title: 'Authorization header', level: 'error' }
const credentialUrl: SecretRule = { id: 'url-credentials', title: 'Credentials in a URL', level: 'error' }

export const configRules: readonly SecretRule[] = [named, authorization]

/** No real field is longer; more is not searched. Characters. */
const longestText = 256 * 1024

/** Secrets that an image's config tells everybody who has the image, each once, in the field that says it first. */
export function secretsInConfig(config: ImageConfig): readonly ConfigSecret[] {
  const found = new Map<string, ConfigSecret>()
  for (const { field, text, name } of textsOf(config)) {
    const secrets = name === undefined ? secretsInCommand(text) : secretsInVariable(name, text)
    for (const secret of secrets)
      if (!found.has(secret.value)) found.set(secret.value, { ...secret, field, name: secret.name ?? name })
  }
  return [...found.values()]
}

interface ConfigText {
  readonly field: string
  readonly text: string
  /** Of a variable or label. */
  readonly name?: string
}

function* textsOf({ config = {}, history = [] }: ImageConfig): Generator<ConfigText> {
  for (const variable of config.Env ?? []) {
    const equals = variable.indexOf('=')
    yield { field: 'config.Env', name: variable.slice(0, equals), text: variable.slice(equals + 1) }
  }
  for (const [name, text] of Object.entries(config.Labels ?? {})) yield { field: 'config.Labels', name, text }
  for (const field of ['Entrypoint', 'Cmd', 'OnBuild'] as const)
    yield { field: `config.${field}`, text: (config[field] ?? []).join(' ') }
  yield { field: 'config.Healthcheck', text: (config.Healthcheck?.Test ?? []).join(' ') }
  for (const [index, { created_by: createdBy = '', comment = '' }] of history.entries()) {
    yield { field: `history[${index}]`, text: createdBy }
    yield { field: `history[${index}]`, text: comment }
  }
}

type Secret = Omit<ConfigSecret, 'field'>

function secretsInVariable(name: string, value: string): readonly Secret[] {
  const tokens = secretsByShape(value)
  if (tokens.length > 0) return tokens
  return isSecretName(name) && isSecretValue(name, value) ? [{ rule: named, value, name }] : []
}

function secretsInCommand(whole: string): readonly Secret[] {
  const text = whole.slice(0, longestText)
  const found = secretsByShape(text)
  for (const { name, value } of assignmentsIn(text)) {
    const isKnown = found.some((secret) => value.includes(secret.value))
    if (!isKnown && isSecretName(name) && isSecretValue(name, value)) found.push({ rule: named, value, name })
  }
  return found
}

function secretsByShape(whole: string): Secret[] {
  const text = whole.slice(0, longestText)
  const found: Secret[] = tokensInText(text).map(({ rule, value }) => ({ rule, value, name: undefined }))
  const add = (rule: SecretRule, value: string): void => {
    const isKnown = found.some((secret) => secret.value.includes(value) || value.includes(secret.value))
    if (!isKnown && !isPlaceholder(value)) found.push({ rule, value, name: undefined })
  }
  for (const { value } of urlCredentials(text)) add(credentialUrl, value)
  for (const [, value = ''] of text.matchAll(
    /\bauthorization["']?\s{0,4}[:=]\s{0,4}["']?(?:bearer|basic|token)\s{1,4}([\w.~+/=-]{12,4096})/gi,
  ))
    add(authorization, value)
  return found
}
