import type { Container } from '../../containers/container.ts'
import { listContainerRecords } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { startMonitoredContainer } from '../../containers/start-monitored.ts'
import type { Store } from '../../content/store.ts'
import { type CairnError, isCairnError } from '../../errors/error.ts'

export interface RestoreOptions {
  readonly signal: AbortSignal
  /** Told of each container that was started, by its name. */
  readonly onStart: (name: string) => void
}

/**
 * Starts what should run after the machine has started: containers whose restart policy says so, `unless-stopped` ones
 * only where nobody stopped them. What ended with the machine is recorded, with status 255. Gives the failures; the
 * others are started. Throws CANCELED.
 */
export async function restoreContainers(
  store: Store,
  { signal, onStart }: RestoreOptions,
): Promise<readonly { readonly name: string; readonly error: CairnError }[]> {
  recoverContainers(store)
  const failures: { name: string; error: CairnError }[] = []
  for (const { id, name } of listContainerRecords(store).filter(isWanted).toReversed())
    try {
      // oxlint-disable-next-line no-await-in-loop -- one after the other, the oldest first
      await startMonitoredContainer(store, id, { signal })
      onStart(name)
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push({ name, error })
    }
  return failures
}

function isWanted({ settings, state, restart, startedAt }: Container): boolean {
  if (state === 'restarting') return true
  if (state !== 'exited' || startedAt === null) return false
  const policy = settings.restart?.name
  return policy === 'always' || (policy === 'unless-stopped' && restart?.isStopped !== true)
}
