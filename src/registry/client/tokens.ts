import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import type { Challenge } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { type Endpoint, isLoopback } from './hosts.ts'
import type { HttpAnswer, HttpRequest } from './http-exchange.ts'
import { answerError } from './registry-answer.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where tokens for a registry come from: the parameters of its Bearer challenge. */
export interface TokenService {
  readonly realm: URL
  readonly service: string | undefined
}

export interface AccessToken {
  readonly token: string
  /** Milliseconds since 1970 from when on it is not used any more. */
  readonly expires: number
  /** To be kept instead of the password, where one was asked for and given. */
  readonly identityToken: string | undefined
}

export interface TokenRequest {
  readonly service: TokenService
  /** `repository:library/nginx:pull`. */
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  /** Asks for an identity token too, as login does. */
  readonly offline?: boolean
  /** The repository, for errors. */
  readonly name: string
}

const clientId = 'cairn'
const longestAnswer = 256 * 1024
/** Seconds that a token without a date lives (distribution's token specification), and how early it is renewed. */
const shortestLife = 60
const margin = 10

/** Realms that are known to belong to a registry of another name. */
const knownRealms: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
}

/**
 * The token service of a Bearer challenge. A registry may only send its users to HTTPS (to HTTP only where it is itself
 * allowed to speak that), and not to an address of this machine or its network unless that is where it lives. Throws
 * REGISTRY_INVALID.
 */
export function tokenService({ parameters }: Challenge, registry: URL, { isInsecure }: Endpoint): TokenService {
  const { realm: text = '', service } = parameters
  const refuse = (why: string): CairnError =>
    new CairnError(
      'REGISTRY_INVALID',
      `${registry.host} asks for a token from ${JSON.stringify(text.slice(0, 200))}: ${why}`,
    )
  const realm = URL.canParse(text) ? new URL(text) : undefined
  if (realm === undefined) throw refuse('that is no URL')
  if (realm.username !== '' || realm.password !== '') throw refuse('a realm may not hold credentials')
  const isOwnHost = realm.hostname === registry.hostname
  if (
    realm.protocol === 'http:'
      ? !isInsecure || registry.protocol !== 'http:' || !isOwnHost
      : realm.protocol !== 'https:'
  )
    throw refuse('tokens are asked for by HTTPS only')
  if (!isOwnHost && isPrivateAddress(realm.hostname)) throw refuse('that is a private address')
  return { realm, service }
}

/**
 * True where a password for the registry may be sent to the realm: the registry's own host, a known pair, hosts with one
 * parent domain (registry.example.com and auth.example.com), and what $CAIRN_TRUSTED_REALMS lists.
 */
function mayReceivePassword(realm: URL, registry: string, { CAIRN_TRUSTED_REALMS: trusted }: Environment): boolean {
  const host = registry.replace(/:\d+$/, '')
  if (realm.hostname === host || knownRealms[host] === realm.hostname) return true
  if ((trusted ?? '').split(',').some((one) => one.trim() === realm.hostname)) return true
  const parent = parentDomain(host)
  return parent !== undefined && (realm.hostname === parent || realm.hostname.endsWith(`.${parent}`))
}

/** `example.com` of `registry.example.com`; undefined where it could be a suffix under which anyone can register. */
function parentDomain(host: string): string | undefined {
  if (/^[\d.]+$|:/.test(host)) return undefined
  const labels = host.split('.').slice(1)
  const isSuffix = labels.length < 2 || (labels.length === 2 && (labels[0] ?? '').length <= 3)
  return isSuffix ? undefined : labels.join('.')
}

function isPrivateAddress(host: string): boolean {
  if (isLoopback(host)) return true
  if (host.startsWith('[')) return /^\[(?:::|f[cd]|fe[89ab]|::ffff:)/i.test(host)
  const parts = host.split('.').map(Number)
  const [a = 0, b = 0] = parts
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part))) return false
  return (
    a === 0 ||
    a === 10 ||
    a === 127 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168)
  )
}

/**
 * Gets an access token: with an identity token by OAuth 2, with a password by Basic, else anonymously. Throws
 * UNAUTHORIZED for credentials the service does not take or may not get, REGISTRY_INVALID for an answer without a token,
 * and what `send` throws.
 */
export async function fetchToken(
  request: TokenRequest,
  registry: string,
  env: Environment,
  send: (request: Omit<HttpRequest, 'tls'>) => Promise<HttpAnswer>,
): Promise<AccessToken> {
  const { service, credentials, name } = request
  if (credentials !== undefined && !mayReceivePassword(service.realm, registry, env))
    throw new CairnError(
      'UNAUTHORIZED',
      `${registry} wants its credentials sent to ${service.realm.host}, which is another's host`,
      { hint: `If it is to get them, set CAIRN_TRUSTED_REALMS=${service.realm.hostname}.` },
    )
  const began = Date.now()
  const answer = await send(
    credentials?.kind === 'identity' ? oauthRequest(request, credentials.token) : getRequest(request),
  )
  if (answer.status !== 200) {
    const error = await answerError(answer, { what: `token of ${service.realm.host}`, name, isPush: isPush(request) })
    const isRefused = answer.status === 401 || answer.status === 403 || answer.status === 400
    if (!isRefused) throw error
    throw new CairnError(
      'UNAUTHORIZED',
      credentials === undefined ? error.message : `incorrect username or password for ${registry}`,
      {
        cause: error,
        hint: `Log in with \`cairn login ${registry === 'registry-1.docker.io' ? '' : registry}\`.`,
      },
    )
  }
  return parseToken(await answer.bytes(longestAnswer), service.realm.host, began)
}

function isPush({ scopes }: TokenRequest): boolean {
  return scopes.some((scope) => scope.includes('push'))
}

function getRequest({ service, scopes, credentials, offline }: TokenRequest): Omit<HttpRequest, 'tls'> {
  const url = new URL(service.realm)
  if (service.service !== undefined) url.searchParams.set('service', service.service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  if (offline === true) url.searchParams.set('offline_token', 'true')
  url.searchParams.set('client_id', clientId)
  if (credentials?.kind !== 'password') return { method: 'GET', url, headers: {} }
  url.searchParams.set('account', credentials.username)
  return { method: 'GET', url, headers: { Authorization: basicAuthorization(credentials) } }
}

function oauthRequest({ service, scopes }: TokenRequest, token: string): Omit<HttpRequest, 'tls'> {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: token })
  if (service.service !== undefined) form.set('service', service.service)
  if (scopes.length > 0) form.set('scope', scopes.join(' '))
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
  return { method: 'POST', url: new URL(service.realm), headers, body: form.toString() }
}

/** RFC 7617. */
export function basicAuthorization({ username, password }: Extract<Credentials, { kind: 'password' }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function parseToken(bytes: Uint8Array, host: string, began: number): AccessToken {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    value = undefined
  }
  const { token, access_token: access, expires_in: life, refresh_token: refresh } = isJsonObject(value) ? value : {}
  const text = typeof token === 'string' && token !== '' ? token : access
  // A header cannot hold anything else.
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text))
    throw new CairnError('REGISTRY_INVALID', `${host} gave no token in its answer`)
  const seconds = typeof life === 'number' && life > shortestLife ? Math.min(life, 86_400) : shortestLife
  return {
    token: text,
    expires: began + (seconds - margin) * 1000,
    identityToken: typeof refresh === 'string' && refresh !== '' ? refresh : undefined,
  }
}
