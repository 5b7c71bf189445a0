import { recordContainerEvent } from '../../containers/container-events.ts'
import { getContainer } from '../../containers/container-records.ts'
import { healthOf } from '../../containers/health.ts'
import { settleContainer } from '../../containers/settle-container.ts'
import { forgetMonitorMounts, leaveMonitorMounts, startMonitoredContainer } from '../../containers/start-monitored.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'

/** What a container's monitor calls when that has ended: records it and sets going what its policies ask for. */
export function cleanUpContainer(store: Store, id: string): void {
  const container = getContainer(store, id)
  if (container === undefined) return
  const hasLeft = leaveMonitorMounts(container)
  const settled = settleContainer(store, id)
  if (!hasLeft && settled?.state !== 'running' && settled?.state !== 'paused') forgetMonitorMounts(store, container)
}

/** Starts a container that waits to be started by its restart policy. One that cannot be started stays ended. */
export async function reviveContainer(store: Store, id: string): Promise<void> {
  const container = getContainer(store, id)
  if (container?.state !== 'restarting' || container.restart?.isStopped === true) return
  const { count = 0, delay = 0 } = container.restart ?? {}
  try {
    await startMonitoredContainer(store, id, {}, { count, delay })
  } catch (error) {
    if (!isCairnError(error)) throw error
  }
}

/** Records that a container's health has changed: what looks after it calls this. */
export function recordHealthChange(store: Store, id: string): void {
  const container = getContainer(store, id)
  const health = container === undefined ? undefined : healthOf(store, container)
  if (container === undefined || health === undefined) return
  recordContainerEvent(store, `health_status: ${health.status}`, container)
}
