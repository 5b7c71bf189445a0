import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { type MonitoredStart, startMonitoredContainer } from '../../containers/start-monitored.ts'
import type { Store } from '../../content/store.ts'

/**
 * Starts a container in the background, where it is not running already. Throws CONTAINER_UNKNOWN, CONTAINER_STATE and
 * all that keeps a container from running.
 */
export async function startContainerByName(store: Store, name: string, options: MonitoredStart = {}): Promise<void> {
  recoverContainers(store)
  await startMonitoredContainer(store, resolveContainer(store, name).id, options)
}
