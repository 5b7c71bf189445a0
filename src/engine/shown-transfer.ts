import type { ProgressListener } from '../progress/events.ts'
import type { TransferListener } from '../progress/transfer-events.ts'

/** Milliseconds between two times that bytes of one layer are told of. */
const interval = 100

/**
 * Tells of a pull or push as BuildKit tells of layers: as statuses of `vertex`, under their digests.
 *
 * @param ends - the messages that end a layer
 */
export function shownTransfer(progress: ProgressListener, vertex: string, ends: readonly string[]): TransferListener {
  const started = new Map<string, number>()
  const told = new Map<string, number>()
  return ({ id, text, current = 0, total = 0 }) => {
    if (id === undefined || text === 'Pulling fs layer' || text === 'Preparing') return
    const now = Date.now()
    const isOver = ends.includes(text)
    if (!isOver && now - (told.get(id) ?? 0) < interval) return
    told.set(id, now)
    const times = { timestamp: now, started: started.getOrInsert(id, now), ...(isOver ? { completed: now } : {}) }
    progress({ type: 'status', vertex, id: `sha256:${id}`, current, total, ...times })
  }
}
