import type { Store } from './store.ts'

/** What kinds of things events tell of, by docker's names. */
export type EventType = 'image' | 'container' | 'volume' | 'network' | 'builder'

/** Something that happened to the store, as `docker events` tells it. */
export interface StoreEvent {
  /** Grows with each event. */
  readonly id: number
  /** Microseconds since 1970. */
  readonly time: number
  readonly type: EventType
  readonly action: string
  /** ID or name of what it happened to; empty where it is nothing in particular. */
  readonly actor: string
  readonly attributes: Readonly<Record<string, string>>
}

/** Events that are kept: about 3 MB at most in practice. */
const keptEvents = 10_000

/**
 * Records an event. Belongs into the transaction of what it tells of, so that either both are to be seen or neither.
 * The oldest event goes when there are more than {@link keptEvents}. On a read-only file system nothing changes, and what
 * was only read is not told.
 */
export function recordEvent(
  store: Store,
  type: EventType,
  action: string,
  actor: string,
  attributes: StoreEvent['attributes'],
): void {
  if (store.isReadOnly) return
  store.database.transaction(() => {
    store.database.run(
      'INSERT INTO events (time, type, action, actor, attributes) VALUES (?, ?, ?, ?, ?)',
      microsecondsNow(),
      type,
      action,
      actor,
      JSON.stringify(attributes),
    )
    store.database.run('DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?', keptEvents)
  })
}

/** The events after the one with the ID `after`, oldest first. */
export function listEvents(store: Store, after: number): StoreEvent[] {
  const rows = store.database.all<Omit<StoreEvent, 'attributes'> & { readonly attributes: string }>(
    'SELECT id, time, type, action, actor, attributes FROM events WHERE id > ? ORDER BY id',
    after,
  )
  return rows.map((row) => ({ ...row, attributes: JSON.parse(row.attributes) as Record<string, string> }))
}

/** ID of the newest event; 0 where there is none. */
export function newestEvent(store: Store): number {
  return store.database.one<{ id: number | null }>('SELECT max(id) AS id FROM events')?.id ?? 0
}

/** How far the precise clock may be from the system's before that was set anew, in milliseconds. */
const clockTolerance = 100

/**
 * The time in microseconds since 1970. Milliseconds would not do: an event would seem to be older than a time that was
 * asked for just before it.
 */
function microsecondsNow(): number {
  const precise = performance.timeOrigin + performance.now()
  const rough = Date.now()
  return Math.trunc((Math.abs(precise - rough) < clockTolerance ? precise : rough) * 1000)
}
