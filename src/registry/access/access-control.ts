import { type ApiToken, currentToken, findApiToken, isApiToken } from './api-tokens.ts'
import { type Grant, signToken, verifyToken } from './bearer-token.ts'
import { PasswordCheck, type Passwords } from './htpasswd.ts'
import { allows, type RepositoryAction, type Rule } from './rules.ts'
import type { Digest } from '../../oci/digest.ts'

/** What a request needs. `base` is to be known by name; `catalog` shows each what it may pull. */
export type Need =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'repository'; readonly name: string; readonly action: 'pull' | 'push' | 'delete' }

/** Who asks, and what of their rights counts. */
export interface Principal {
  /** Undefined for who has no name. */
  readonly user: string | undefined
  /** How they have shown who they are. */
  readonly by: 'nothing' | 'password' | 'api-token' | 'bearer'
  readonly mayPull: (repository: string) => boolean
  /** Whether tags of a repository that are there may be moved. */
  readonly mayOverwrite: (repository: string) => boolean
}

/** No credentials, wrong ones, a token that has run out or is no more, or one that is for something else. */
type ChallengeReason = 'missing' | 'wrong' | 'stale' | 'scope'

/** Whether a request may go on; `challenge` is for WWW-Authenticate. */
export type Verdict =
  | { readonly outcome: 'allowed'; readonly principal: Principal }
  | { readonly outcome: 'unauthorized'; readonly challenge: string; readonly reason: ChallengeReason }
  | { readonly outcome: 'denied'; readonly principal: Principal }

/** Called before a password is hashed, which is what makes guessing costly; what it throws ends the request. */
export type BeforeHashing = () => void

/** Decides who may do what. Every request is judged anew, by what the files say at that moment. */
export interface AccessControl {
  judge(request: Request, need: Need, beforeHashing: BeforeHashing): Promise<Verdict>
  /** The token server; undefined where there is none. */
  readonly tokenServer: TokenServer | undefined
}

/** Gives tokens to who shows a password: docker's token authentication specification. */
export interface TokenServer {
  /** `wrong` is for a password that is not right. What may not be done is left out of the token without a word. */
  issue(
    authorization: string | null,
    scopes: readonly string[],
    beforeHashing: BeforeHashing,
  ): Promise<{ readonly token: string; readonly expiresIn: number; readonly issuedAt: Date } | 'wrong'>
}

/** Where users, rights and tokens come from, each asked for at each request. */
export interface AccessSources {
  readonly passwords: () => Promise<Passwords>
  readonly apiTokens: () => Promise<ReadonlyMap<Digest, ApiToken>>
  readonly rules: () => Promise<readonly Rule[]>
  /** How clients show who they are: with each request, or once to a token server. */
  readonly scheme: 'basic' | 'token'
  /** Names this registry in challenges and tokens. */
  readonly service: string
  /** URL of the token server; undefined for this server under the name that the client knows it by. */
  readonly realm: string | undefined
  readonly key: Uint8Array
  /** How long a token counts, in seconds. */
  readonly tokenLifetime: number
}

/** Anybody may do anything. */
export const openAccess: AccessControl = {
  tokenServer: undefined,
  judge: () => Promise.resolve({ outcome: 'allowed', principal: anybody }),
}

const anybody: Principal = { user: undefined, by: 'nothing', mayPull: () => true, mayOverwrite: () => true }

/** Path of the token server. */
export const tokenPath = '/token'

/** Access by passwords, API tokens and rules. */
export function controlAccess(sources: AccessSources): AccessControl {
  const control = new FileAccess(sources)
  return { judge: (...args) => control.judge(...args), tokenServer: control.tokenServer() }
}

type Bound = (repository: string, action: RepositoryAction) => boolean

/** Somebody, and what bounds their rights besides the rules. */
interface Identity {
  readonly user: string | undefined
  readonly by: Principal['by']
  /** The API token that stands for the user. */
  readonly apiToken: ApiToken | undefined
  /** What a token of the token server is for. */
  readonly grants: readonly Grant[] | undefined
}

const nobody: Identity = { user: undefined, by: 'nothing', apiToken: undefined, grants: undefined }

class FileAccess {
  readonly #sources: AccessSources
  readonly #check = new PasswordCheck()

  constructor(sources: AccessSources) {
    this.#sources = sources
  }

  async judge(request: Request, need: Need, beforeHashing: BeforeHashing): Promise<Verdict> {
    const identity = await this.#identify(request.headers.get('authorization'), beforeHashing)
    if (identity === 'wrong' || identity === 'stale') return this.#challenge(request, need, identity)
    const rules = await this.#sources.rules()
    const may = rightsOf(identity, rules)
    // Mounting from a repository and listing it need the right to pull, and no token that was asked for it.
    const principal: Principal = {
      user: identity.user,
      by: identity.by,
      mayPull: (name) => may(name, 'pull'),
      mayOverwrite: (name) => may(name, 'overwrite'),
    }
    const isGranted = identity.grants?.some((grant) => covers(grant, need)) ?? true
    if (need.kind === 'repository') {
      const isAllowed = may(need.name, need.action)
      if (isAllowed && isGranted) return { outcome: 'allowed', principal }
      if (identity.by === 'nothing') return this.#challenge(request, need, 'missing')
      // A token that was asked for too little: the client can get another one, perhaps as somebody.
      if (identity.by === 'bearer' && (isAllowed || identity.user === undefined))
        return this.#challenge(request, need, 'scope')
      return { outcome: 'denied', principal }
    }
    // Clients learn from the base how to log in, also those that may pull without.
    if (identity.by === 'nothing') return this.#challenge(request, need, 'missing')
    if (need.kind === 'catalog' && !isGranted) return this.#challenge(request, need, 'scope')
    return { outcome: 'allowed', principal }
  }

  tokenServer(): TokenServer | undefined {
    const { scheme, service, tokenLifetime } = this.#sources
    if (scheme !== 'token') return undefined
    return {
      issue: async (authorization, scopes, beforeHashing) => {
        const identity = await this.#identify(authorization, beforeHashing)
        // A token is got with a password: one that gives another would never run out.
        if (identity === 'wrong' || identity === 'stale' || identity.by === 'bearer') return 'wrong'
        const rules = await this.#sources.rules()
        const access = scopes.flatMap((scope) => this.#grant(identity, rules, scope))
        const issuedAt = new Date()
        const iat = Math.floor(issuedAt.getTime() / 1000)
        const claims = {
          sub: identity.user ?? '',
          aud: service,
          iat,
          exp: iat + tokenLifetime,
          jti: crypto.randomUUID(),
          access,
          ...(identity.apiToken === undefined ? {} : { token: identity.apiToken.digest }),
        }
        const token = signToken(claims, this.#sources.key)
        return { token, expiresIn: tokenLifetime, issuedAt }
      },
    }
  }

  /** The part of a scope `repository:NAME:ACTION,…` that is allowed. */
  #grant(identity: Identity, rules: readonly Rule[], scope: string): Grant[] {
    const match = /^(repository|registry):(.+):([a-z*,]+)$/.exec(scope)
    if (match === null) return []
    const [, type = '', name = '', wanted = ''] = match
    const asked = wanted.split(',')
    if (type === 'registry') return name === 'catalog' ? [{ type, name, actions: ['*'] }] : []
    const may = rightsOf(identity, rules)
    const actions = tokenActions.filter(
      (action) => (asked.includes(action) || asked.includes('*')) && may(name, action),
    )
    return actions.length === 0 ? [] : [{ type, name, actions }]
  }

  async #identify(authorization: string | null, beforeHashing: BeforeHashing): Promise<Identity | 'wrong' | 'stale'> {
    if (authorization === null) return nobody
    const space = authorization.indexOf(' ')
    const scheme = authorization.slice(0, space).toLowerCase()
    const value = authorization.slice(space + 1).trim()
    if (scheme === 'basic') return await this.#byPassword(value, beforeHashing)
    if (scheme !== 'bearer') return 'wrong'
    return isApiToken(value) ? await this.#byApiToken(value) : await this.#byBearer(value)
  }

  async #byPassword(value: string, beforeHashing: BeforeHashing): Promise<Identity | 'wrong'> {
    const text = decodeBase64(value)
    const colon = text?.indexOf(':') ?? -1
    if (text === undefined || colon < 0) return 'wrong'
    const [name, password] = [text.slice(0, colon), text.slice(colon + 1)]
    if (isApiToken(password)) return await this.#byApiToken(password)
    const passwords = await this.#sources.passwords()
    if (!(await this.#check.isRight(passwords, name, password, beforeHashing))) return 'wrong'
    return { ...nobody, user: name, by: 'password' }
  }

  async #byApiToken(text: string): Promise<Identity | 'wrong'> {
    const token = findApiToken(await this.#sources.apiTokens(), text)
    if (token === undefined) return 'wrong'
    return { ...nobody, user: token.user, by: 'api-token', apiToken: token }
  }

  async #byBearer(text: string): Promise<Identity | 'stale'> {
    const { key, service } = this.#sources
    const claims = verifyToken(text, key, service, Date.now() / 1000)
    if (claims === undefined) return 'stale'
    const user = claims.sub === '' ? undefined : claims.sub
    const identity: Identity = { ...nobody, user, by: 'bearer', grants: claims.access }
    // Whoever was removed, and an API token that was, is out at once.
    if (claims.token !== undefined) {
      const apiToken = currentToken(await this.#sources.apiTokens(), claims.token)
      return apiToken === undefined ? 'stale' : { ...identity, apiToken }
    }
    return user === undefined || (await this.#sources.passwords()).has(user) ? identity : 'stale'
  }

  #challenge(request: Request, need: Need, reason: ChallengeReason): Verdict {
    const { scheme, service, realm } = this.#sources
    if (scheme === 'basic') return { outcome: 'unauthorized', challenge: `Basic realm="${service}"`, reason }
    const own = URL.parse(tokenPath, request.url)?.href ?? tokenPath
    const scope = scopeOf(need)
    const error = reason === 'missing' ? '' : `,error="${reason === 'scope' ? 'insufficient_scope' : 'invalid_token'}"`
    const challenge = `Bearer realm="${realm ?? own}",service="${service}"${scope === '' ? '' : `,scope="${scope}"`}${error}`
    return { outcome: 'unauthorized', challenge, reason }
  }
}

/** What somebody may do by the rules, and by the API token that they use. */
function rightsOf({ user, apiToken }: Identity, rules: readonly Rule[]): Bound {
  return (repository, action) =>
    allows(rules, user, repository, action) &&
    (apiToken === undefined || allows([apiToken.scope], user, repository, action))
}

function covers(grant: Grant, need: Need): boolean {
  if (need.kind === 'catalog') return grant.type === 'registry' && grant.name === 'catalog'
  if (need.kind === 'base') return true
  return grant.type === 'repository' && grant.name === need.name && grant.actions.includes(need.action)
}

/** What the token specification knows; a token to push moves tags where the rules let its user do so. */
const tokenActions = ['pull', 'push', 'delete'] as const

/** What a client has to ask the token server for. Who pushes pulls too, to see what is there already. */
function scopeOf(need: Need): string {
  switch (need.kind) {
    case 'base':
      return ''
    case 'catalog':
      return 'registry:catalog:*'
    case 'repository':
      return `repository:${need.name}:${need.action === 'push' ? 'pull,push' : need.action}`
    default:
      return need satisfies never
  }
}

function decodeBase64(text: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.fromBase64(text))
  } catch {
    return undefined
  }
}
