import { isActive } from '../../containers/container.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { LogFile, type LogPiece } from '../../containers/log-file.ts'
import { logPath } from '../../containers/places.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { settleContainer } from '../../containers/settle-container.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { Moment } from '../moment.ts'

export interface ReadLogsOptions {
  /** Goes on until the container ends. */
  readonly follow?: boolean
  /** Only the last lines, all if absent. */
  readonly tail?: number | undefined
  /** Only what was written from then on. */
  readonly since?: Moment | undefined
  /** Only what was written until then. */
  readonly until?: Moment | undefined
  readonly signal?: AbortSignal
}

/** How often a container that writes is looked at, in milliseconds. */
const pollInterval = 25
/** How many looks there are at the log for one at whether the container runs. */
const looksPerCheck = 4

/**
 * What a container has written, line by line. The bytes of a line are only good until the next is asked for. Throws
 * CONTAINER_UNKNOWN, NOT_SUPPORTED where no log is kept, CANCELED.
 */
export async function* readLogs(store: Store, name: string, options: ReadLogsOptions = {}): AsyncGenerator<LogPiece> {
  const { follow = false, tail, since, until, signal } = options
  recoverContainers(store)
  const { id, settings, session, run } = resolveContainer(store, name)
  if (settings.log?.driver === 'none')
    throw new CairnError('NOT_SUPPORTED', 'configured logging driver does not support reading')
  if (session !== null && run === null)
    throw new CairnError(
      'NOT_SUPPORTED',
      `no log is kept of ${name}: it belongs to the \`cairn run --rm\` that started it`,
    )
  using file = new LogFile(logPath(store, id))
  if (tail !== undefined) file.seekTail(tail)
  for (let look = 0; ; look++) {
    // Asked first, so that what it wrote last is read.
    const isOver = !follow || (look % looksPerCheck === 0 && hasEnded(store, id))
    for (const piece of file.read(isOver)) {
      if (until !== undefined && timeOf(piece).isAfter(until)) return
      if (since === undefined || !timeOf(piece).isBefore(since)) yield piece
    }
    if (isOver) return
    if (until !== undefined && Moment.ofMilliseconds(Date.now()).isAfter(until)) return
    signal?.throwIfAborted()
    await Bun.sleep(pollInterval)
  }
}

function timeOf({ time }: LogPiece): Moment {
  return Moment.ofText(time) ?? Moment.ofMilliseconds(0)
}

function hasEnded(store: Store, id: string): boolean {
  const container = settleContainer(store, id)
  return container === undefined || !isActive(container) || container.state === 'restarting'
}
