import { deathStatus } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { waitForEnd } from '../../containers/end-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'

/** Waits until a container does not run and gives its exit status. Throws CONTAINER_UNKNOWN, CANCELED. */
export async function waitContainer(store: Store, name: string, signal?: AbortSignal): Promise<number> {
  recoverContainers(store)
  return await exitStatusOf(store, resolveContainer(store, name).id, signal)
}

/** {@link waitContainer} by ID, also for a container that is removed when it ends. */
export async function exitStatusOf(store: Store, id: string, signal?: AbortSignal): Promise<number> {
  const container = await waitForEnd(store, id, { signal })
  if (container === undefined || container === false) return deathStatus(store, id) ?? 0
  return container.exitCode ?? 0
}
