import { digestOf, isDigest, type Digest } from '../../oci/digest.ts'
import { CairnError } from '../../errors/error.ts'
import { ConfigFields } from './config-fields.ts'
import { type RepositoryAction, repositoryActions, type Rule } from './rules.ts'

/** A long-lived token for programs. Only its digest is kept. */
export interface ApiToken {
  readonly digest: Digest
  readonly user: string
  /** What the token may do at most; whether its user may is asked too. */
  readonly scope: Rule
  /** Milliseconds since 1970. */
  readonly expiresAt: number | undefined
}

const prefix = 'cairn_'

/** True for a text that can only be an API token. */
export function isApiToken(text: string): boolean {
  return text.startsWith(prefix)
}

/** A new token: 256 bits nobody can guess. */
export function newApiToken(): string {
  return prefix + crypto.getRandomValues(new Uint8Array(32)).toBase64({ alphabet: 'base64url', omitPadding: true })
}

/** Reads a file of tokens, a list of `[[tokens]]`. Throws CONFIG_INVALID naming the field. */
export function parseApiTokens(text: string, path: string): ReadonlyMap<Digest, ApiToken> {
  const file = ConfigFields.parse(text, path)
  const tokens = file.tables('tokens').map((fields): ApiToken => {
    const user = fields.required('user')
    const digest = fields.parsed('digest', parseTokenDigest)
    if (digest === undefined) throw new CairnError('CONFIG_INVALID', `${path}: a token of ${user} has no digest`)
    const token = {
      user,
      digest,
      scope: {
        repositories: fields.texts('repositories') ?? ['**'],
        users: [user],
        isAnonymous: false,
        allow: fields.choices('allow', repositoryActions) ?? repositoryActions,
      },
      expiresAt: fields.parsed('expires', parseExpiry),
    }
    fields.end()
    return token
  })
  file.end()
  return new Map(tokens.map((token) => [token.digest, token]))
}

/** The entry of a token for a file of tokens. */
export function formatApiToken(
  token: string,
  user: string,
  repositories: readonly string[],
  allow: readonly RepositoryAction[],
  expiresAt: Date | undefined,
): string {
  const lines = [
    '[[tokens]]',
    `user = ${JSON.stringify(user)}`,
    `digest = "${digestOf(token)}"`,
    `repositories = ${JSON.stringify(repositories)}`,
    `allow = ${JSON.stringify(allow)}`,
    ...(expiresAt === undefined ? [] : [`expires = "${expiresAt.toISOString()}"`]),
  ]
  return `${lines.join('\n')}\n`
}

/** The token that a text is, if it is one of these and has not run out. */
export function findApiToken(tokens: ReadonlyMap<Digest, ApiToken>, text: string): ApiToken | undefined {
  return currentToken(tokens, digestOf(text))
}

/** The token with this digest, if it has not run out. */
export function currentToken(tokens: ReadonlyMap<Digest, ApiToken>, digest: Digest): ApiToken | undefined {
  const token = tokens.get(digest)
  return token?.expiresAt === undefined || token.expiresAt > Date.now() ? token : undefined
}

function parseTokenDigest(text: string): Digest {
  if (isDigest(text) && text.startsWith('sha256:')) return text
  throw new CairnError('CONFIG_INVALID', 'not a sha256 digest')
}

/** In milliseconds since 1970. */
function parseExpiry(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw new CairnError('CONFIG_INVALID', `not a time as in 2030-12-31T23:59:59Z: ${text}`)
  return time
}
