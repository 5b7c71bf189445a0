import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import { startContainerByName } from './start-container.ts'
import { stopContainer, type StopOptions } from './stop-container.ts'

/** Ends a container where it runs and starts it. Throws as stopContainer() and startContainerByName(). */
export async function restartContainer(store: Store, name: string, options: StopOptions = {}): Promise<void> {
  await stopContainer(store, name, options)
  const { signal } = options
  await startContainerByName(store, name, signal === undefined ? {} : { signal })
  recordContainerEvent(store, 'restart', resolveContainer(store, name))
}
