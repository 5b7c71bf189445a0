import { CairnError } from '../errors/error.ts'
import { redactUrl } from '../errors/redact.ts'
import { trustedCertificates } from '../linux/trusted-certificates.ts'
import type { RemoteAccess } from './access.ts'
import { basicAuthorization, withoutUserInfo } from './access.ts'

/** How many redirections are followed, as Go's client does. */
const longestChain = 10

/** A response whose body is read piece by piece, each of which must come in time. */
export interface HttpResponse {
  readonly status: number
  readonly headers: Headers
  /** Bytes of the body as the server announced them, undefined where it did not or where they arrive compressed. */
  readonly size: number | undefined
  /** The body, decoded. Fails with NETWORK when it ends early. */
  readonly body: AsyncIterable<Uint8Array>
  /** Ends the request without reading the body to its end. */
  readonly cancel: () => void
}

/**
 * One GET. Redirections are followed; `authorization`, and user info in a URL, go only to the very origin they are for.
 * Throws NETWORK with the cause in a few words, and the reason of the signal.
 */
export async function get(
  url: URL,
  headers: Readonly<Record<string, string>>,
  authorization: string | undefined,
  access: Pick<RemoteAccess, 'signal' | 'env' | 'limits'>,
): Promise<HttpResponse> {
  const watch = new StallWatch(access)
  try {
    const response = await follow(url, headers, authorization, access, watch)
    const compressed = response.headers.has('content-encoding')
    const announced = Number(response.headers.get('content-length') ?? NaN)
    return {
      status: response.status,
      headers: response.headers,
      size: compressed || !Number.isFinite(announced) ? undefined : announced,
      body: pieces(response, url, watch),
      cancel: () => watch.cancel(),
    }
  } catch (error) {
    watch.cancel()
    throw watch.explain(error, url)
  }
}

async function follow(
  url: URL,
  headers: Readonly<Record<string, string>>,
  authorization: string | undefined,
  { env }: Pick<RemoteAccess, 'env'>,
  watch: StallWatch,
): Promise<Response> {
  let current = url
  let credentials = authorization ?? basicAuthorization(url)
  for (let hops = 0; hops <= longestChain; hops++) {
    watch.wait()
    const response = await fetch(withoutUserInfo(current).href, {
      headers: {
        'User-Agent': 'cairn',
        // As Go's client: what a server sends compressed for the way is stored as the file it is.
        'Accept-Encoding': 'gzip',
        ...headers,
        ...(credentials === undefined ? {} : { Authorization: credentials }),
      },
      redirect: 'manual',
      signal: watch.signal,
      ...route(current, env),
    })
    const location = response.headers.get('location')
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response
    await response.body?.cancel()
    const next = redirection(location, current)
    if (next.origin !== current.origin) credentials = basicAuthorization(next)
    current = next
  }
  throw new CairnError('NETWORK', `failed to fetch ${redactUrl(url.href)}: stopped after ${longestChain} redirects`)
}

function redirection(location: string, from: URL): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  if (next !== undefined && (next.protocol === 'http:' || next.protocol === 'https:')) return next
  throw new CairnError('NETWORK', `${redactUrl(from.href)} redirects to ${redactUrl(location)}, which is no HTTP URL`)
}

/** Certificates of the machine and its proxies; this machine itself is never asked for through a proxy. */
function route(url: URL, env: RemoteAccess['env']): BunFetchRequestInit {
  const certificates = url.protocol === 'https:' ? trustedCertificates(env) : undefined
  const isLocal = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  return {
    ...(certificates === undefined ? {} : { tls: { ca: certificates } }),
    // Nothing else makes Bun leave the proxy of the environment alone.
    ...(isLocal ? { proxy: false } : {}),
  }
}

async function* pieces(response: Response, url: URL, watch: StallWatch): AsyncGenerator<Uint8Array> {
  const { body } = response
  if (body === null) return
  try {
    watch.wait()
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      watch.rest()
      yield piece
      watch.wait()
    }
  } catch (error) {
    throw watch.explain(error, url)
  } finally {
    watch.cancel()
  }
}

/** Aborts a request when its caller does, or when the server is silent for too long. */
class StallWatch {
  readonly #controller = new AbortController()
  readonly #stall: number
  readonly #caller: AbortSignal
  #timer: ReturnType<typeof setTimeout> | undefined
  #isStalled = false

  constructor({ signal, limits }: Pick<RemoteAccess, 'signal' | 'limits'>) {
    this.#caller = signal
    this.#stall = limits.stall
    signal.throwIfAborted()
    signal.addEventListener('abort', this.cancel)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** From here on the server has to answer in time. */
  wait(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#isStalled = true
      this.#controller.abort()
    }, this.#stall)
  }

  /** It is the reader's turn, who may take all the time. */
  rest(): void {
    clearTimeout(this.#timer)
  }

  readonly cancel = (): void => {
    clearTimeout(this.#timer)
    this.#caller.removeEventListener('abort', this.cancel)
    this.#controller.abort()
  }

  /** The error to throw for a failure of the request. */
  explain(error: unknown, url: URL): unknown {
    if (error instanceof CairnError) return error
    if (this.#caller.aborted) return this.#caller.reason
    const why = this.#isStalled ? `the server sent nothing for ${this.#stall / 1000} s` : cause(error)
    return new CairnError('NETWORK', `failed to fetch ${redactUrl(url.href)}: ${why}`, { cause: error })
  }
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  ECONNRESET: 'unexpected EOF: the server closed the connection before the end',
  ZlibError: 'the body is not the gzip data that the server says it is',
}

function cause(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return causes[code] ?? (error instanceof Error ? error.message : String(error))
}
