import { CairnError, isCairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import type { Reference } from '../../oci/reference.ts'
import { registryPaths } from '../protocol.ts'
import { parseChallenges } from './challenge.ts'
import { type Credentials, CredentialStore, type CredentialPlaces } from './credentials.ts'
import { type Endpoint, isLoopback, RegistryHosts } from './hosts.ts'
import { exchange, type HttpAnswer, type HttpRequest, type RequestBody } from './http-exchange.ts'
import { Patience, type Repetition } from './patience.ts'
import { answerError, serverText } from './registry-answer.ts'
import { plainTlsSettings, type TlsSettings, tlsSettings } from './tls-settings.ts'
import { type AccessToken, basicAuthorization, fetchToken, type TokenService, tokenService } from './tokens.ts'

export interface ClientOptions extends CredentialPlaces {
  readonly signal: AbortSignal
  /** Milliseconds without progress after which a server counts as gone; a minute by default. */
  readonly stall?: number
  /** Milliseconds before the first repetition; each further one waits twice as long. 300 by default. */
  readonly firstPause?: number | undefined
  /** Told of what registries say in `Warning` headers, each text once. */
  readonly onWarning?: ((text: string) => void) | undefined
}

/** A request to one registry. */
export interface RegistryRequest {
  readonly method: HttpRequest['method']
  /** A path with its query, or a URL that the registry gave. */
  readonly target: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: RequestBody
  /** What the request needs rights for: `repository:a/b:pull`. */
  readonly scopes: readonly string[]
  /** The repository as users write it, for errors. */
  readonly name: string
  /** The repository at this registry: credentials may be for a part of them. The registry itself if absent. */
  readonly repository?: string
  /**
   * False where another attempt could do twice what the first has done. It is sent again only where it was refused
   * (401, 429), if its body can be read again.
   */
  readonly isRepeatable?: boolean
  /** Credentials to use in place of those that are kept: what login tries. */
  readonly credentials?: Credentials
}

const defaultStall = 60_000
const defaultPause = 300
const longestChain = 10
/** Without credentials, with a token, and with another one where that has just run out. */
const mostChallenges = 3
const redirections: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** What may follow a request that has done nothing, one that may be done twice, and one that cannot be sent again. */
const afterRefusals: Repetition = { statuses: new Set([429]), afterBreaks: false }
const afterFailures: Repetition = { statuses: new Set([408, 429, 500, 502, 503, 504]), afterBreaks: true }
const never: Repetition = { statuses: new Set(), afterBreaks: false }

/** All registries of one command: their hosts, credentials and connections. */
export class RegistryClient {
  readonly options: ClientOptions
  readonly credentials: CredentialStore
  readonly hosts: RegistryHosts
  readonly #connections = new Map<string, RegistryConnection>()
  readonly #warnings = new Set<string>()

  constructor(options: ClientOptions) {
    this.options = options
    this.credentials = new CredentialStore(options)
    this.hosts = new RegistryHosts(options.env)
  }

  /** The connection to an endpoint's host; made once. */
  connection(endpoint: Endpoint): RegistryConnection {
    const key = `${endpoint.isInsecure} ${endpoint.host}`
    let found = this.#connections.get(key)
    if (found === undefined) this.#connections.set(key, (found = new RegistryConnection(this, endpoint)))
    return found
  }

  /** Where `reference` is pulled from, best first. Throws as {@link RegistryHosts.endpointsFor}. */
  endpointsFor(reference: Reference): readonly Endpoint[] {
    return this.hosts.endpointsFor(reference)
  }

  /** Tells of the warnings of an answer (distribution-spec §warnings). */
  warn({ headers, url }: HttpAnswer): void {
    const text = headers.get('warning')
    if (text === null || this.options.onWarning === undefined) return
    for (const [, said = ''] of text.slice(0, 4096).matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)) {
      const warning = `${url.host}: ${serverText(said.replace(/\\(.)/g, '$1'))}`
      if (this.#warnings.has(warning)) continue
      this.#warnings.add(warning)
      this.options.onWarning(warning)
    }
  }

  /** One exchange under the options of the client. */
  async exchange(request: HttpRequest): Promise<HttpAnswer> {
    const { signal, stall = defaultStall } = this.options
    const answer = await exchange(request, { signal, stall })
    this.warn(answer)
    return answer
  }
}

/** One registry: knows how it wants to be spoken to, and by whom. */
export class RegistryConnection {
  readonly endpoint: Endpoint
  readonly #client: RegistryClient
  readonly #tls: TlsSettings
  #otherTls: TlsSettings | undefined
  readonly #tokens = new Map<string, Promise<AccessToken>>()
  readonly #patience: Patience
  readonly #tokenPatience: Patience
  #base: Promise<URL> | undefined
  #scheme: 'unknown' | 'basic' | TokenService = 'unknown'

  /** Throws as {@link tlsSettings}. */
  constructor(client: RegistryClient, endpoint: Endpoint) {
    this.#client = client
    this.endpoint = endpoint
    this.#tls = tlsSettings(endpoint, client.options.env)
    const { firstPause = defaultPause, signal } = client.options
    this.#patience = new Patience(firstPause, signal)
    this.#tokenPatience = new Patience(firstPause, signal)
  }

  /**
   * Sends a request and gives the answer, whatever its status, with everything done that leads to one: rights are
   * obtained, redirections followed, passing failures waited out. Credentials go to the registry's own origin alone.
   * Throws what exchange() throws, UNAUTHORIZED and REGISTRY_INVALID as tokens are refused or asked for wrongly,
   * TOOMANYREQUESTS where the registry wants a wait that is too long.
   */
  async send(request: RegistryRequest): Promise<HttpAnswer> {
    const repetition = request.isRepeatable !== false ? afterFailures : isRereadable(request) ? afterRefusals : never
    return await this.#patience.run(() => this.#authorized(request), repetition)
  }

  /** `https://host`, or `http://host` where the registry may be and is spoken to in the clear. */
  base(): Promise<URL> {
    this.#base ??= this.#findBase().catch((error: unknown) => {
      this.#base = undefined
      throw error
    })
    return this.#base
  }

  /** How the registry wants to know its users; asks it, with an identity token where it gives one. */
  async logIn(credentials: Credentials): Promise<Credentials> {
    const answer = await this.send({
      method: 'GET',
      target: registryPaths.base,
      scopes: [],
      name: this.endpoint.host,
      credentials,
    })
    if (answer.status === 401)
      throw new CairnError('UNAUTHORIZED', `login attempt to ${answer.url.href} failed with status: 401 Unauthorized`, {
        hint: 'Is the name right, and the password or token?',
      })
    const asked = { what: this.endpoint.host, name: this.endpoint.host, isPush: false }
    if (answer.status !== 200) throw await answerError(answer, asked)
    await answer.discard()
    if (typeof this.#scheme !== 'object' || credentials.kind !== 'password') return credentials
    const { identityToken } = await this.#requestToken(this.#scheme, [], this.endpoint.host, credentials, true)
    return identityToken === undefined ? credentials : { kind: 'identity', token: identityToken }
  }

  async #findBase(): Promise<URL> {
    const { host, isInsecure } = this.endpoint
    const secure = parseBase(`https://${host}`)
    if (!isInsecure) return secure
    const plain = parseBase(`http://${host}`)
    // Only what may be spoken to in the clear is asked how it speaks, before it gets to see any credentials. On this
    // machine nobody listens in, and most registries there speak HTTP: to ask that first takes a tenth of the time.
    const isAskedPlainly = isLoopback(host) && this.#tls.rejectUnauthorized === false && this.#tls.cert === undefined
    if (isAskedPlainly && (await this.#speaks(plain))) return plain
    return (await this.#speaks(secure)) ? secure : plain
  }

  /** Whether the registry answers to HTTP, or HTTPS, as `base` has it. */
  async #speaks(base: URL): Promise<boolean> {
    try {
      const url = new URL(registryPaths.base, base)
      const answer = await this.#client.exchange({ method: 'GET', url, headers: {}, tls: this.#tls })
      await answer.discard()
      // What servers of HTTPS say to HTTP, where they say anything.
      return base.protocol === 'https:' || answer.status !== 400
    } catch (error) {
      if (isCairnError(error, 'TLS_EXPECTED') || isCairnError(error, 'NETWORK')) return false
      throw error
    }
  }

  async #authorized(request: RegistryRequest): Promise<HttpAnswer> {
    const base = await this.base()
    let authorization = await this.#authorization(request)
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#follow(request, base, authorization)
      if (answer.status !== 401 || answer.url.origin !== base.origin || !this.#learn(answer, base)) return answer
      // A token may run out while an upload lasts: the next request asks for another one.
      this.#forgetToken(request.scopes)
      if (!isRereadable(request) || attempt === mostChallenges) return answer
      const refused = authorization
      authorization = await this.#authorization(request)
      if (authorization === undefined || authorization === refused) return answer
      await answer.discard()
    }
  }

  /** Takes note of how the registry wants to be asked; false where no way is known. */
  #learn({ headers }: HttpAnswer, base: URL): boolean {
    const challenges = parseChallenges(headers.get('www-authenticate'))
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer !== undefined) this.#scheme = tokenService(bearer, base, this.endpoint)
    else if (challenges.some(({ scheme }) => scheme === 'basic')) this.#scheme = 'basic'
    else return false
    return true
  }

  async #authorization(request: RegistryRequest): Promise<string | undefined> {
    if (this.#scheme === 'unknown') return undefined
    const { host } = this.endpoint
    const { repository = '' } = request
    const credentials = request.credentials ?? (await this.#client.credentials.for(host, repository))
    if (credentials?.kind === 'bearer') return `Bearer ${credentials.token}`
    if (this.#scheme === 'basic') return credentials?.kind === 'password' ? basicAuthorization(credentials) : undefined
    const { token } = await this.#token(this.#scheme, request, credentials)
    return `Bearer ${token}`
  }

  async #token(
    service: TokenService,
    { scopes, name }: RegistryRequest,
    credentials: Credentials | undefined,
  ): Promise<AccessToken> {
    const key = scopes.join(' ')
    const known = await this.#tokens.get(key)
    if (known !== undefined && known.expires > Date.now()) return known
    const asked = this.#requestToken(service, scopes, name, credentials)
    this.#tokens.set(key, asked)
    asked.catch(() => this.#tokens.delete(key))
    return await asked
  }

  async #requestToken(
    service: TokenService,
    scopes: readonly string[],
    name: string,
    credentials: Credentials | undefined,
    offline = false,
  ): Promise<AccessToken> {
    const { env } = this.#client.options
    const isOwn = service.realm.host === this.endpoint.host
    const tls = isOwn ? this.#tls : this.#tlsElsewhere()
    return await fetchToken({ service, scopes, credentials, name, offline }, this.endpoint.host, env, (request) =>
      // A redirected token request is not followed: where it goes is not what was approved.
      this.#tokenPatience.run(() => this.#client.exchange({ ...request, tls }), afterRefusals),
    )
  }

  #tlsElsewhere(): TlsSettings {
    this.#otherTls ??= plainTlsSettings(this.#client.options.env)
    return this.#otherTls
  }

  #forgetToken(scopes: readonly string[]): void {
    this.#tokens.delete(scopes.join(' '))
  }

  async #follow(request: RegistryRequest, base: URL, authorization: string | undefined): Promise<HttpAnswer> {
    const { method, target, headers = {}, body } = request
    let url = new URL(target, base)
    for (let hops = 0; hops <= longestChain; hops++) {
      this.#checkScheme(url, base)
      const isOwn = url.origin === base.origin
      const own = isOwn
        ? { ...this.#client.credentials.config.headers, ...(authorization && { Authorization: authorization }) }
        : {}
      const answer = await this.#client.exchange({
        method,
        url,
        headers: { ...headers, ...own },
        body,
        tls: isOwn ? this.#tls : this.#tlsElsewhere(),
      })
      const location = answer.headers.get('location')
      if (!redirections.has(answer.status) || location === null) return answer
      const isSafe = method === 'GET' || method === 'HEAD'
      const keepsMethod = answer.status === 307 || answer.status === 308
      if (!isSafe && (!keepsMethod || request.isRepeatable === false)) return answer
      await answer.discard()
      if (!URL.canParse(location, url.href)) throw this.#badRedirection(url, location, 'which is no URL')
      url = new URL(location, url)
    }
    throw this.#badRedirection(url, url.href, `the ${longestChain}th redirection in a row`)
  }

  /** A registry that is spoken to by HTTPS cannot lead to HTTP. */
  #checkScheme(url: URL, base: URL): void {
    if (url.username !== '' || url.password !== '')
      throw this.#badRedirection(base, url.href, 'which holds credentials')
    if (url.protocol === 'https:' || (url.protocol === 'http:' && base.protocol === 'http:')) return
    throw this.#badRedirection(base, url.href, 'which is not HTTPS')
  }

  #badRedirection(from: URL, to: string, why: string): CairnError {
    return new CairnError('REGISTRY_INVALID', `${from.host} redirects to ${redactUrl(serverText(to))}, ${why}`)
  }
}

function parseBase(text: string): URL {
  if (URL.canParse(text)) return new URL(text)
  throw new CairnError('REFERENCE_INVALID', `${text} is no URL of a registry`)
}

/** Whether the body of a request can be sent a second time. */
function isRereadable({ body }: RegistryRequest): boolean {
  return !(typeof body === 'object' && Symbol.asyncIterator in body)
}
