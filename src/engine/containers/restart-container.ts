import { recordContainerEvent } from '../../containers/container-events.ts'
import { recordKept, resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { startMonitoredContainer } from '../../containers/start-monitored.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError, reworded } from '../../errors/error.ts'
import { stopContainer, type StopOptions } from './stop-container.ts'

/** Ends a container where it runs and starts it. Throws as stopContainer() and startMonitoredContainer(). */
export async function restartContainer(store: Store, name: string, options: StopOptions = {}): Promise<void> {
  recoverContainers(store)
  const { id, autoRemove } = resolveContainer(store, name)
  if (autoRemove) recordKept(store, id, true)
  try {
    await stopContainer(store, id, options)
    const { signal } = options
    await startMonitoredContainer(store, id, signal === undefined ? {} : { signal })
  } catch (error) {
    if (autoRemove) recordKept(store, id, false)
    if (!isCairnError(error) || error.kind === 'canceled') throw error
    throw reworded(error, `Cannot restart container ${name}: ${error.message}`)
  }
  recordContainerEvent(store, 'restart', resolveContainer(store, id))
}
