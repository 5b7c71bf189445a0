import { failureOf, failureResponse, RequestFailure } from './request-failure.ts'

/** Where and how a server listens. */
export interface ServerOptions {
  readonly hostname: string
  /** 0 for any that is free. */
  readonly port: number
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  /** Seconds that a connection may be silent, in the middle of a request too: a client that stalls is let go. */
  readonly idleTimeout: number
  readonly handle: (request: Request) => Promise<Response>
}

/** A server that listens. */
export interface RegistryServer {
  readonly url: URL
  /** Takes no more connections, lets requests end for up to `drain` milliseconds, then cuts them off. */
  stop(drain: number): Promise<void>
}

/** Listens for requests. */
export function startRegistryServer({ hostname, port, tls, idleTimeout, handle }: ServerOptions): RegistryServer {
  const server = Bun.serve({
    hostname,
    port,
    idleTimeout,
    reusePort: true,
    // Each endpoint has its own limit; blobs may be of any size.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: handle,
    error: (error) => failureResponse(isMissingFile(error) ? new RequestFailure('BLOB_UNKNOWN') : failureOf(error)),
    ...(tls === undefined ? {} : { tls }),
  })
  return {
    url: server.url,
    stop: async (drain) => {
      const timer = setTimeout(() => void server.stop(true), drain)
      await server.stop()
      clearTimeout(timer)
    },
  }
}

/** A blob that was deleted after it was found, before its file was opened to be sent. */
function isMissingFile(error: Error): boolean {
  return 'code' in error && error.code === 'ENOENT'
}
