import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { machineTrust } from '../../linux/trusted-certificates.ts'
import { findRecord } from '../../records/build-records.ts'
import { traceEndpoint, traceRequest } from '../../records/otlp.ts'
import { readItems } from '../../records/record-reader.ts'
import { buildTimeline } from '../../records/timeline.ts'

/**
 * Sends the record of a build to where the environment wants traces (OTLP over HTTP, JSON); does nothing where it wants
 * none. Throws TRACE_REFUSED when the collector cannot be reached in time or refuses it.
 */
export async function exportTrace(
  store: Store,
  id: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const endpoint = traceEndpoint(env)
  if (endpoint === undefined) return
  const record = findRecord(store, id)
  const body = traceRequest(record, await buildTimeline(record, readItems(record.path)), env)
  const refused = (why: string, cause?: unknown): CairnError =>
    new CairnError('TRACE_REFUSED', `the trace could not be sent to ${redactUrl(endpoint.url)}: ${why}`, { cause })
  let answer: Response
  try {
    answer = await fetch(endpoint.url, {
      method: 'POST',
      headers: { ...endpoint.headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(endpoint.timeout),
      ...machineTrust(),
    })
  } catch (error) {
    throw refused(error instanceof Error ? error.message : String(error), error)
  }
  await answer.body?.cancel()
  if (!answer.ok) throw refused(`it answered ${answer.status} ${answer.statusText}`.trim())
}
