import { isJsonObject } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'

/** What a token lets its holder do: the claim `access` of the docker token specification. */
export interface Grant {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}

/** What a token says. Times are in seconds since 1970. */
export interface TokenClaims {
  /** Empty for who has no name. */
  readonly sub: string
  readonly aud: string
  readonly iat: number
  readonly exp: number
  readonly access: readonly Grant[]
  /** Digest of the API token that it was given for. */
  readonly token?: Digest
}

const header = base64url(JSON.stringify({ alg: 'HS256', typ: 'JWT' }))

/** A signed JSON Web Token (RFC 7519) with HMAC-SHA-256, the only algorithm there is here. */
export function signToken(claims: TokenClaims & { readonly jti: string }, key: Uint8Array): string {
  const content = `${header}.${base64url(JSON.stringify(claims))}`
  return `${content}.${signature(content, key)}`
}

/**
 * The claims of a token that was signed with `key`, for `audience`, and has not run out at `now` (seconds since 1970);
 * undefined for any other text. The header is compared as a whole: a token cannot choose its algorithm.
 */
export function verifyToken(token: string, key: Uint8Array, audience: string, now: number): TokenClaims | undefined {
  const [head, body, sign, ...more] = token.split('.')
  if (head !== header || body === undefined || sign === undefined || more.length > 0) return undefined
  if (!isSame(sign, signature(`${head}.${body}`, key))) return undefined
  const claims: unknown = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(body, { alphabet: 'base64url' })))
  // Signed, so it is of the form that signToken() wrote.
  if (!isJsonObject(claims) || claims['aud'] !== audience) return undefined
  const { exp, iat } = claims as unknown as TokenClaims
  return exp > now && iat <= now + 60 ? (claims as unknown as TokenClaims) : undefined
}

function signature(content: string, key: Uint8Array): string {
  return new Bun.CryptoHasher('sha256', key).update(content).digest('base64url')
}

/** Compares in a time that does not depend on where the texts differ. */
function isSame(one: string, two: string): boolean {
  if (one.length !== two.length) return false
  let difference = 0
  for (let index = 0; index < one.length; index++) difference |= one.charCodeAt(index) ^ two.charCodeAt(index)
  return difference === 0
}

function base64url(text: string): string {
  return new TextEncoder().encode(text).toBase64({ alphabet: 'base64url', omitPadding: true })
}
