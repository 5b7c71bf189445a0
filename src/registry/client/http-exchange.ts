import { CairnError, isCairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import type { ByteSource } from '../../streams/source.ts'
import { isLoopback } from './hosts.ts'
import { serverText } from './registry-answer.ts'
import type { TlsSettings } from './tls-settings.ts'

/** One request and its answer, redirections not followed. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: RequestBody | undefined
  readonly tls: TlsSettings
}

/** Bytes, a file, or a stream that can be read once. */
export type RequestBody = Uint8Array | string | Blob | ByteSource

export interface ExchangeOptions {
  readonly signal: AbortSignal
  /** Milliseconds without progress after which a server counts as gone. */
  readonly stall: number
}

/** An answer whose body is read piece by piece, each of which must come in time. */
export interface HttpAnswer {
  readonly url: URL
  readonly status: number
  readonly headers: Headers
  /** The body as it is on the wire. Fails with NETWORK when it ends early or stops coming. */
  readonly body: ByteSource
  /** The whole body, at most `limit` bytes. Fails with LIMIT_EXCEEDED. */
  bytes(limit: number): Promise<Uint8Array<ArrayBuffer>>
  /** Ends the exchange: what is small is read, so that the connection can be used again, else it is closed. */
  discard(): Promise<void>
  /** Closes the connection at once. */
  cancel(): void
}

/** Bytes a body must bring within one stall time not to count as stalled. */
const slowestPace = 4096
/** An answer of this size is read to keep its connection. */
const cheapBody = 64 * 1024

/**
 * One exchange. Throws NETWORK, HOST_UNKNOWN, CONNECTION_REFUSED, TLS_UNTRUSTED and TLS_EXPECTED, each naming the host
 * and what to do, and the reason of the signal.
 */
export async function exchange(request: HttpRequest, options: ExchangeOptions): Promise<HttpAnswer> {
  const { method, url, headers, body, tls } = request
  const watch = new PaceWatch(options)
  const isStream = body !== undefined && typeof body === 'object' && Symbol.asyncIterator in body
  try {
    watch.begin()
    const response = await fetch(url.href, {
      method,
      headers: { 'User-Agent': 'cairn', 'Accept-Encoding': 'identity', ...headers },
      ...(body === undefined ? {} : { body: isStream ? watched(body, watch) : (body as Uint8Array) }),
      redirect: 'manual',
      decompress: false,
      timeout: false,
      signal: watch.signal,
      ...(url.protocol === 'https:' ? { tls } : {}),
      // Nothing else makes Bun leave the proxy of the environment alone.
      ...(isLoopback(url.host) ? { proxy: false } : {}),
    } as unknown as BunFetchRequestInit)
    watch.rest()
    return answerOf(url, method, response, watch)
  } catch (error) {
    watch.end()
    throw watch.explain(error, url)
  }
}

function answerOf(url: URL, method: string, response: Response, watch: PaceWatch): HttpAnswer {
  const { status, headers } = response
  const hasBody = method !== 'HEAD' && response.body !== null
  if (!hasBody) watch.end()
  const body = hasBody ? pieces(response, url, watch) : nothing()
  const bytes = async (limit: number): Promise<Uint8Array<ArrayBuffer>> => {
    const announced = Number(headers.get('content-length') ?? 0)
    const tooLong = (): CairnError =>
      new CairnError('LIMIT_EXCEEDED', `${redactUrl(url.href)} answers with more than ${limit} bytes`)
    if (announced > limit) {
      watch.end(true)
      throw tooLong()
    }
    const found: Uint8Array[] = []
    let size = 0
    watch.limitWhole()
    for await (const piece of body) {
      size += piece.length
      if (size > limit) throw tooLong()
      found.push(new Uint8Array(piece))
    }
    const whole = new Uint8Array(size)
    let at = 0
    for (const piece of found) {
      whole.set(piece, at)
      at += piece.length
    }
    return whole
  }
  const discard = async (): Promise<void> => {
    if (Number(headers.get('content-length') ?? Infinity) > cheapBody && hasBody) return watch.end(true)
    try {
      await bytes(cheapBody)
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      watch.end(true)
    }
  }
  return { url, status, headers, body, bytes, discard, cancel: () => watch.end(true) }
}

async function* nothing(): ByteSource {}

async function* pieces(response: Response, url: URL, watch: PaceWatch): AsyncGenerator<Uint8Array> {
  let isWhole = false
  try {
    watch.begin()
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      watch.rest()
      watch.progress(piece.length)
      yield piece
      watch.begin()
    }
    isWhole = true
  } catch (error) {
    throw watch.explain(error, url)
  } finally {
    watch.end(!isWhole)
  }
}

/** What is sent counts as progress when it is taken. */
async function* watched(source: ByteSource, watch: PaceWatch): ByteSource {
  watch.rest()
  for await (const piece of source) {
    watch.begin()
    yield piece
    watch.rest()
    watch.progress(piece.length)
  }
  watch.begin()
}

/** Ends an exchange when its caller does, or when the other side is silent, or keeps it waiting by drops. */
class PaceWatch {
  readonly #controller = new AbortController()
  readonly #stall: number
  readonly #caller: AbortSignal
  #timer: ReturnType<typeof setTimeout> | undefined
  #deadline: ReturnType<typeof setTimeout> | undefined
  /** When the wait that goes on began, and how long it may last. */
  #since = 0
  #left: number
  #received = 0
  #isStalled = false
  #isOver = false

  constructor({ signal, stall }: ExchangeOptions) {
    this.#caller = signal
    this.#stall = stall
    this.#left = stall
    signal.throwIfAborted()
    signal.addEventListener('abort', this.#abort)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** From here on the other side has to do something in time. */
  begin(): void {
    clearTimeout(this.#timer)
    this.#since = performance.now()
    if (!this.#isOver) this.#timer = setTimeout(this.#stalled, this.#left)
  }

  /** It is this side's turn, which may take all the time. */
  rest(): void {
    clearTimeout(this.#timer)
    this.#left = Math.max(1, this.#left - (performance.now() - this.#since))
  }

  /** So many bytes went by. Only enough of them buy more time. */
  progress(bytes: number): void {
    this.#received += bytes
    if (this.#received < slowestPace) return
    this.#received = 0
    this.#left = this.#stall
  }

  /** From here on all must be there within two stall times. */
  limitWhole(): void {
    if (!this.#isOver) this.#deadline ??= setTimeout(this.#stalled, 2 * this.#stall)
  }

  end(closes = false): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    clearTimeout(this.#deadline)
    this.#caller.removeEventListener('abort', this.#abort)
    if (closes) this.#controller.abort()
  }

  /** The error to throw for a failure of the exchange. */
  explain(error: unknown, url: URL): unknown {
    if (this.#caller.aborted) return this.#caller.reason
    if (this.#isStalled)
      return new CairnError('NETWORK', `${url.host}: the server sent nothing for ${this.#stall / 1000} s`, {
        cause: silence,
      })
    return error instanceof CairnError ? error : networkError(error, url)
  }

  readonly #abort = (): void => this.#controller.abort()

  readonly #stalled = (): void => {
    this.#isStalled = true
    this.#controller.abort()
  }
}

const untrusted: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
])

/** A failure of fetch as an error of its kind. */
function networkError(error: unknown, url: URL): CairnError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const { host } = url
  const make = (kind: ConstructorParameters<typeof CairnError>[0], why: string, hint?: string): CairnError =>
    new CairnError(kind, `${host}: ${why}`, { cause: error, hint })
  if (untrusted.has(code))
    return make(
      'TLS_UNTRUSTED',
      'its certificate is signed by an unknown authority',
      `Put the authority's certificate into /etc/docker/certs.d/${host}/ca.crt, or allow the host by insecure = true in registries.conf.`,
    )
  if (code.startsWith('CERT_') || code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return make('TLS_UNTRUSTED', `its certificate is not to be trusted: ${messageOf(error)}`)
  switch (code) {
    case 'EPROTO':
      return make(
        'TLS_EXPECTED',
        'the server gave HTTP response to HTTPS client',
        'If it is to be spoken to in the clear, say insecure = true for it in registries.conf.',
      )
    case 'ECONNREFUSED':
      return make(
        'CONNECTION_REFUSED',
        'connection refused',
        proxyHint(url) ?? 'Is the registry running, and is the port right?',
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return make(
        'HOST_UNKNOWN',
        'no such host',
        proxyHint(url) ?? 'Check the name, and that this machine can resolve names.',
      )
    case 'UnsupportedProxyProtocol':
      return make('CONFIG_INVALID', 'proxies are spoken to by HTTP and HTTPS only', proxyHint(url))
    case 'ECONNRESET':
      return make('NETWORK', 'unexpected EOF: the server closed the connection before the end')
    case 'ERR_PROXY_TUNNEL':
      // A refusal of the proxy, which stays, or that it does not reach the host.
      return make(
        / 4\d\d( |$)/.test(messageOf(error)) ? 'CONNECTION_REFUSED' : 'NETWORK',
        serverText(messageOf(error)),
        proxyHint(url),
      )
    default:
      return make('NETWORK', messageOf(error))
  }
}

/** What to say of a failure that may be that of a proxy; undefined where there is none. */
function proxyHint({ protocol, host }: URL): string | undefined {
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const proxy = [name.toLowerCase(), name, 'all_proxy', 'ALL_PROXY'].map((one) => Bun.env[one]).find(Boolean)
  if (proxy === undefined || isLoopback(host)) return undefined
  const address = redactUrl(proxy.includes('://') ? proxy : `http://${proxy}`)
  return `Requests go through the proxy ${address} unless NO_PROXY names the host.`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? redactUrl(error.message.split('. For more')[0] ?? '') : String(error)
}

/** True for failures that another attempt may get past. */
export function isPassing(error: unknown): boolean {
  return isCairnError(error, 'NETWORK') || isCairnError(error, 'REGISTRY_FAILED')
}

const silence = new DOMException('nothing came in time', 'TimeoutError')

/** True for a server that did nothing for as long as one is waited for: each further attempt may take as long again. */
export function isSilence(error: unknown): boolean {
  return isCairnError(error) && error.cause === silence
}
