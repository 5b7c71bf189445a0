import { CairnError, isCairnError } from '../errors/error.ts'
import { machineTrust } from '../linux/trusted-certificates.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { fetchBlob, putAzureBlob } from './azure-blob.ts'

/** A service to keep entries at, as runners of GitHub Actions name it to their jobs. */
export interface ActionsService {
  readonly url: URL
  readonly version: 1 | 2
  /** A JWT, which names the scopes: branches. */
  readonly token: string
}

export interface ActionsOptions {
  /** Milliseconds that a service which has too much to do is waited for. */
  readonly timeout: number
  readonly signal: AbortSignal
}

/** What the token allows of one scope. */
interface ActionsScope {
  readonly name: string
  readonly isWritable: boolean
}

/** An entry of the service. */
export interface ActionsEntry {
  readonly key: string
  /** Where its bytes are; a secret for some time. */
  readonly url: string
}

/** Largest answer that is read, in bytes. */
const largestAnswer = 32 * 1024
/** Bytes of the pieces that an entry is sent in to the older service. */
const pieceSize = 32 * 1024 * 1024
const firstPause = 500
const longestPause = 30_000
const passingAttempts = 4
/** Milliseconds without an answer. */
const patience = 60_000

/** What entries of builders are told apart from those of other tools by: the same that BuildKit says. */
const version = new Bun.CryptoHasher('sha256').update('|go-actionscache-1.0').digest('hex')

/**
 * Client of GitHub's cache service, both versions, as BuildKit speaks to it (tonistiigi/go-actions-cache). The token goes
 * to the service alone, and neither it nor addresses with signatures are in any error. Failures are CREDENTIALS_INVALID
 * for a token that cannot be read or has run out, UNAUTHORIZED, DENIED, TOOMANYREQUESTS, NETWORK, CACHE_INVALID.
 */
export class ActionsCache {
  /** The nearest first, as the token has them. */
  readonly scopes: readonly ActionsScope[]
  readonly #service: ActionsService
  readonly #options: ActionsOptions

  constructor(service: ActionsService, options: ActionsOptions) {
    this.#service = service
    this.#options = options
    this.scopes = scopesOf(service.token)
  }

  /** The newest entry whose key begins so; undefined where there is none. */
  async find(key: string): Promise<ActionsEntry | undefined> {
    if (this.#service.version === 2) {
      const answer = await this.#call('GetCacheEntryDownloadURL', { key, restore_keys: [key], version })
      return answer?.['ok'] === true ? entryOf(answer['matched_key'], answer['signed_download_url']) : undefined
    }
    const query = new URLSearchParams({ keys: key, version })
    const answer = await this.#ask('GET', `_apis/artifactcache/cache?${query.toString()}`)
    return answer?.['cacheKey'] === undefined ? undefined : entryOf(answer['cacheKey'], answer['archiveLocation'])
  }

  /** The bytes of an entry from `start` on; undefined where its address has run out or it is gone. */
  async open({ url }: ActionsEntry, start: number): Promise<ReadableStream<Uint8Array> | undefined> {
    return await fetchBlob(url, start, this.#options.signal)
  }

  /** Adds an entry. False where there is one, or another one is being written. */
  async add(key: string, data: Blob): Promise<boolean> {
    return this.#service.version === 2 ? await this.#addNewer(key, data) : await this.#addOlder(key, data)
  }

  async #addNewer(key: string, data: Blob): Promise<boolean> {
    const reserved = await this.#call('CreateCacheEntry', { key, version })
    if (reserved === undefined) return false
    const url = reserved['signed_upload_url']
    if (reserved['ok'] !== true || typeof url !== 'string') throw invalid('failed to reserve cache')
    await putAzureBlob(url, data, this.#options.signal)
    const done = await this.#call('FinalizeCacheEntryUpload', { key, size_bytes: data.size, version })
    if (done?.['ok'] !== true) throw invalid('failed to commit cache')
    return true
  }

  async #addOlder(key: string, data: Blob): Promise<boolean> {
    const reserved = await this.#ask('POST', '_apis/artifactcache/caches', JSON.stringify({ key, version }))
    if (reserved === undefined) return false
    const id = reserved['cacheId'] ?? reserved['cacheID']
    if (typeof id !== 'number' || id === 0) throw invalid('invalid response to a reservation')
    const path = `_apis/artifactcache/caches/${id}`
    for (let start = 0; start < data.size; start += pieceSize) {
      const end = Math.min(data.size, start + pieceSize)
      const range = { 'content-type': 'application/octet-stream', 'content-range': `bytes ${start}-${end - 1}/*` }
      await this.#ask('PATCH', path, data.slice(start, end), range)
    }
    await this.#ask('POST', path, JSON.stringify({ size: data.size }))
    return true
  }

  async #call(method: string, message: Readonly<Record<string, unknown>>): Promise<Answer | undefined> {
    const path = `twirp/github.actions.results.api.v1.CacheService/${method}`
    return await this.#ask('POST', path, JSON.stringify(message))
  }

  /** Undefined for an empty answer, and where what is to be added is there. */
  async #ask(
    method: 'GET' | 'POST' | 'PATCH',
    path: string,
    body?: string | Blob,
    headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
  ): Promise<Answer | undefined> {
    const { url, token } = this.#service
    const { timeout, signal } = this.#options
    const target = `${url.origin}${url.pathname.replace(/\/+$/, '')}/${path}`
    const deadline = Date.now() + timeout
    for (let attempt = 1, pause = firstPause; ; attempt++, pause = Math.min(longestPause, 2 * pause)) {
      const request = {
        method,
        redirect: 'manual',
        headers: { ...headers, authorization: `Bearer ${token}`, accept: 'application/json;api-version=6.0-preview.1' },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]),
        ...machineTrust(),
      } as const
      let failure: CairnError
      try {
        const response = await fetch(target, request)
        const text = (await response.text()).slice(0, largestAnswer)
        if (response.ok) return text.trim() === '' ? undefined : answerOf(text)
        if (isConflict(response.status, text)) return undefined
        failure = this.#refusal(response.status, text)
        const isBusy = response.status === 429
        if (!isBusy && (response.status < 500 || attempt === passingAttempts)) throw failure
        pause = Math.max(pause, 1000 * Number(response.headers.get('retry-after') ?? 0) || 0)
      } catch (error) {
        signal.throwIfAborted()
        if (isCairnError(error)) throw error
        failure = new CairnError('NETWORK', `the cache service at ${url.host} does not answer`, { cause: error })
        if (attempt === passingAttempts) throw failure
      }
      if (Date.now() + pause > deadline) throw failure
      await Bun.sleep(pause)
    }
  }

  #refusal(status: number, text: string): CairnError {
    const { url, token } = this.#service
    const code =
      status === 401 ? 'UNAUTHORIZED' : status === 403 ? 'DENIED' : status === 429 ? 'TOOMANYREQUESTS' : 'NETWORK'
    const said = messageIn(text).replaceAll(token, '***')
    return new CairnError(code, `the cache service at ${url.host} answers ${status}${said === '' ? '' : `: ${said}`}`)
  }
}

type Answer = Readonly<Record<string, unknown>>

function answerOf(text: string): Answer {
  try {
    const value: unknown = JSON.parse(text)
    if (isJsonObject(value)) return value
  } catch {
    // What follows says it.
  }
  throw invalid('its answer is no JSON object')
}

function entryOf(key: unknown, url: unknown): ActionsEntry {
  if (typeof key !== 'string' || typeof url !== 'string' || !URL.canParse(url) || !/^https?:/.test(url))
    throw invalid('an entry has no key or no address')
  return { key, url }
}

function isConflict(status: number, text: string): boolean {
  return status === 409 || /AlreadyExists|already_exists|already exists/i.test(text.slice(0, 1000))
}

function messageIn(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    const message = isJsonObject(value) ? (value['message'] ?? value['msg'] ?? value['code']) : undefined
    return typeof message === 'string' ? message.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').slice(0, 300) : ''
  } catch {
    return ''
  }
}

/** The scopes of a token: its claim `ac` is a JSON text. What signed it the service checks. */
function scopesOf(token: string): readonly ActionsScope[] {
  const claims = claimsOf(token)
  const { exp, nbf, ac } = claims
  const now = Date.now() / 1000
  if (typeof exp !== 'number' || typeof ac !== 'string') throw badToken('it has no expiry or no access controls')
  if (exp < now) throw badToken(`it has run out at ${new Date(exp * 1000).toISOString()}`)
  if (typeof nbf === 'number' && nbf > now)
    throw badToken(`it is not valid before ${new Date(nbf * 1000).toISOString()}`)
  let scopes: unknown
  try {
    scopes = JSON.parse(ac)
  } catch {
    throw badToken('its access controls are not JSON')
  }
  return (Array.isArray(scopes) ? scopes : []).flatMap((scope: unknown) => {
    if (!isJsonObject(scope)) return []
    const name = scope['Scope'] ?? scope['scope']
    const permission = scope['Permission'] ?? scope['permission']
    return typeof name === 'string' ? [{ name, isWritable: (Number(permission) & 2) !== 0 }] : []
  })
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const [, payload = ''] = token.split('.')
    const value: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    if (isJsonObject(value)) return value
  } catch {
    // What follows says it.
  }
  throw badToken('it is no JWT')
}

function badToken(why: string): CairnError {
  return new CairnError('CREDENTIALS_INVALID', `token of the gha cache: ${why}`, {
    hint: 'It is ACTIONS_RUNTIME_TOKEN, which GitHub gives to actions and not to run: steps.',
  })
}

function invalid(message: string): CairnError {
  return new CairnError('CACHE_INVALID', `cache service: ${message}`)
}
