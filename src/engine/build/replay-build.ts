import type { Display } from '../../progress/display.ts'
import type { ProgressEvent, WarningEvent } from '../../progress/events.ts'
import type { StoredRecord } from '../../records/build-records.ts'
import type { RecordedSource } from '../../records/record.ts'
import { readItems } from '../../records/record-reader.ts'

/**
 * Shows a recorded build on `display` as it was shown while it ran, and goes on until it ends where it still runs. Gives
 * its warnings. Throws RECORD_INVALID, and the reason of the signal.
 *
 * @param step - if given, a part of the titles of the steps whose events are shown
 */
export async function replayBuild(
  { path }: StoredRecord,
  display: Display,
  { step, signal }: { readonly step?: string | undefined; readonly signal: AbortSignal },
): Promise<readonly WarningEvent[]> {
  const warnings: WarningEvent[] = []
  const shown = new Set<string>()
  const source = await recordedSource(path)
  for await (const item of readItems(path, { follow: true, signal })) {
    if (item.kind !== 'event') continue
    const event = withSource(item.event, source)
    if (event.type === 'vertex' && (step === undefined || event.name.includes(step))) shown.add(event.id)
    if (event.type === 'warning') warnings.push(event)
    if (shown.has(event.type === 'vertex' ? event.id : event.vertex)) display.handle(event)
  }
  return warnings
}

/** The Dockerfile, which stands after the warnings about it. */
async function recordedSource(path: string): Promise<RecordedSource | undefined> {
  for await (const item of readItems(path)) if (item.kind === 'source') return item.source
  return undefined
}

/** A warning with the text of its file again, which is in the record only once. */
function withSource(event: ProgressEvent, source: RecordedSource | undefined): ProgressEvent {
  if (event.type !== 'warning' || event.source === undefined || event.source.filename !== source?.filename) return event
  return { ...event, source: { ...event.source, data: source.text } }
}
