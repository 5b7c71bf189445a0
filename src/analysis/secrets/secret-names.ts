import { entropy, isPlaceholder } from './placeholder.ts'

const secretWords: ReadonlySet<string> = new Set(
  'password passwd passphrase pass pwd secret token apikey credential credentials authtoken accesstoken privatekey secretkey'.split(
    ' ',
  ),
)
/** Before `key`. */
const keyWords: ReadonlySet<string> = new Set(
  'api access secret private signing encryption auth account master'.split(' '),
)
/** A name that ends so speaks of a secret and holds none. */
const harmlessEnds: ReadonlySet<string> = new Set(
  (
    'file path dir directory url uri name id ids type ttl expiry expires expire expiration length size policy enabled enable ' +
    'disabled required endpoint header headers host port algorithm alg issuer audience version count timeout prefix suffix regex ' +
    'pattern min max limit limits hash fingerprint sha256 format field param env provider mode arn store manager rotation scope'
  ).split(' '),
)

/** True for names whose values are secrets: `DB_PASSWORD`, `apiKey`, `npm.token`; not `TOKEN_TTL`, `PASSWORD_FILE`, `PWD`. */
export function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
  const last = words.at(-1)
  if (last === undefined || harmlessEnds.has(last) || words.includes('public')) return false
  // The shell's working directory.
  if (words.length <= 1 && last === 'pwd') return false
  return words.some((word, index) => secretWords.has(word) || (word === 'key' && keyWords.has(words[index - 1] ?? '')))
}

/** True unless `value`, which a secret's name has, is a placeholder, a path, a switch, or too plain to be a secret. */
export function isSecretValue(name: string, value: string): boolean {
  if (value.length > 4096 || /\s/.test(value) || isPlaceholder(value)) return false
  // A mounted secret's path, a file of a key, an address without credentials.
  if (/^\.{0,2}\/|\.(?:pem|key|crt|json|ya?ml|txt|conf)$/.test(value) || /^[a-z][a-z0-9+.-]*:\/\/[^@]*$/i.test(value))
    return false
  const isPassword = /pass|pwd/i.test(name)
  if (isPassword) return true
  // Tokens and keys are long and mixed; a word or a small number is a setting.
  return value.length >= 8 && !/^\d+$/.test(value) && entropy(value) >= 2.5 && !/^[a-z]+(?:[-_ ][a-z]+)*$/.test(value)
}

/** A name and its value in a text. */
export interface Assignment {
  readonly name: string
  readonly value: string
  /** Of the value, in characters. */
  readonly offset: number
}

const assignment = /(?<![A-Za-z0-9_.-])([A-Za-z_][A-Za-z0-9_.-]{0,127})=("[^"\n]*"|'[^'\n]*'|[^\s;&|"'()<>]+)/g
const option = /(?<=\s|^)--?([A-Za-z][A-Za-z0-9-]{1,63})[= ]("[^"\n]*"|'[^'\n]*'|[^\s;&|"'()<>-][^\s;&|"'()<>]*)/g

/** `NAME=value` and `--name value` in a command line or a history entry. */
export function* assignmentsIn(text: string): Generator<Assignment> {
  for (const pattern of [assignment, option]) {
    for (const match of text.matchAll(pattern)) {
      const [whole, name = '', quoted = ''] = match
      const value = unquoted(quoted)
      const start = match.index + whole.length - quoted.length
      yield { name, value, offset: value === quoted ? start : start + 1 }
    }
  }
}

/** `value` without the quotes around it. */
export function unquoted(value: string): string {
  const isQuoted = value.length >= 2 && /^(["']).*\1$/s.test(value)
  return isQuoted ? value.slice(1, -1) : value
}
