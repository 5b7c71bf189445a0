import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { machineTrust } from '../../linux/trusted-certificates.ts'
import { findRecord } from '../../records/build-records.ts'
import { encodeTraceRequest } from '../../records/otlp-protobuf.ts'
import { traceEndpoint, traceRequest } from '../../records/otlp.ts'
import { readItems } from '../../records/record-reader.ts'
import { buildTimeline } from '../../records/timeline.ts'

/** Milliseconds. */
const waitAfterCancel = 1_000

/**
 * Sends the record of a build to where the environment wants traces (OTLP over HTTP); does nothing where it wants none.
 * Throws TRACE_REFUSED when the collector cannot be reached in time or refuses it, and when `signal` ends the waiting.
 */
export async function exportTrace(
  store: Store,
  id: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const endpoint = traceEndpoint(env)
  if (endpoint === undefined) return
  const { url, protocol, isCompressed, timeout } = endpoint
  const record = findRecord(store, id)
  const request = traceRequest(record, await buildTimeline(record, readItems(record.path, { output: false })), env)
  const isBinary = protocol === 'http/protobuf'
  const body = isBinary ? encodeTraceRequest(request) : Buffer.from(JSON.stringify(request))
  const refused = (why: string, cause?: unknown): CairnError =>
    new CairnError('TRACE_REFUSED', `the trace could not be sent to ${redactUrl(url)}: ${why}`, { cause })
  const headers = tryHeaders(endpoint.headers)
  if (headers === undefined) throw refused('OTEL_EXPORTER_OTLP_HEADERS has what no HTTP header can have')
  headers.set('content-type', isBinary ? 'application/x-protobuf' : 'application/json')
  if (isCompressed) headers.set('content-encoding', 'gzip')
  let answer: Response
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers,
      body: isCompressed ? Bun.gzipSync(body) : body,
      redirect: 'manual',
      signal: waiting(timeout, signal),
      ...machineTrust(),
    })
    await answer.body?.cancel()
  } catch (error) {
    throw refused(error instanceof Error ? error.message : String(error), error)
  }
  if (!answer.ok) throw refused(`it answered ${answer.status} ${answer.statusText}`.trim())
}

/** A build that was canceled is told of too, if that is quickly done. */
function waiting(timeout: number, signal: AbortSignal): AbortSignal {
  if (signal.aborted) return AbortSignal.timeout(Math.min(timeout, waitAfterCancel))
  return AbortSignal.any([signal, AbortSignal.timeout(timeout)])
}

/** Undefined where one of them has characters that it may not have; the values may be secrets, so no error tells them. */
function tryHeaders(values: Readonly<Record<string, string>>): Headers | undefined {
  try {
    return new Headers(values)
  } catch {
    return undefined
  }
}
