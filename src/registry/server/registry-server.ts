import type { HandleRequest } from './request-handler.ts'
import { failureOf, failureResponse, RequestFailure } from './request-failure.ts'

/** Where and how a server listens. */
export interface ServerOptions {
  readonly hostname: string
  /** 0 for any that is free. */
  readonly port: number
  readonly tls: ServerCertificate | undefined
  /** Whether other servers may listen on the same port. Then the system spreads connections over them. */
  readonly isPortShared: boolean
  /** Seconds that a connection may be silent, in the middle of a request too: a client that stalls is let go. */
  readonly idleTimeout: number
  readonly handle: HandleRequest
}

/** What a server shows to clients, and which of theirs it asks for; each in PEM. */
export interface ServerCertificate {
  readonly cert: string
  readonly key: string
  /** Authorities that certificates of clients have to come from; without them clients need none. */
  readonly clientAuthorities: string | undefined
}

/** A server that listens. */
export interface RegistryServer {
  readonly url: URL
  /**
   * Takes no more connections and lets requests end; after `drain` milliseconds they are cut off, without it never. May
   * be called again to set a time.
   */
  stop(drain?: number): Promise<void>
}

/** Listens for requests. */
export function startRegistryServer(options: ServerOptions): RegistryServer {
  const { hostname, port, tls, isPortShared, idleTimeout, handle } = options
  const server = Bun.serve({
    hostname,
    port,
    idleTimeout,
    reusePort: isPortShared,
    development: false,
    // Each endpoint has its own limit; blobs may be of any size.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, own) => handle(request, own.requestIP(request)?.address),
    error: (error) => failureResponse(isMissingFile(error) ? new RequestFailure('BLOB_UNKNOWN') : failureOf(error)),
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
  })
  let ended: Promise<void> | undefined
  return {
    url: server.url,
    stop: async (drain) => {
      const timer = drain === undefined ? undefined : setTimeout(() => void server.stop(true), drain)
      ended ??= server.stop()
      await ended
      clearTimeout(timer)
    },
  }
}

/** A blob that was deleted after it was found, before its file was opened to be sent. */
function isMissingFile(error: Error): boolean {
  return 'code' in error && error.code === 'ENOENT'
}

function tlsOptions({ cert, key, clientAuthorities }: ServerCertificate): Bun.TLSOptions {
  if (clientAuthorities === undefined) return { cert, key }
  return { cert, key, ca: clientAuthorities, requestCert: true, rejectUnauthorized: true }
}
