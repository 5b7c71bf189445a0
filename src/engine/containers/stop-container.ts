import { type Container, isActive } from '../../containers/container.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { signalContainer, waitForEnd } from '../../containers/end-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { parseSignal, signalNumbers } from '../../linux/signals.ts'

export interface StopOptions {
  /** Seconds before SIGKILL, -1 for any; the container's own, else ten, if absent. */
  readonly timeout?: number | undefined
  /** The container's own, else SIGTERM, if absent. */
  readonly stopSignal?: string
  readonly signal?: AbortSignal
}

const defaultTimeout = 10
/** How long SIGKILL may take, in milliseconds. */
const killPatience = 10_000

/**
 * Asks a container to end and kills it where it does not in time. Nothing happens where it does not run. Throws
 * CONTAINER_UNKNOWN, USAGE for a signal there is not, CANCELED.
 */
export async function stopContainer(store: Store, name: string, options: StopOptions = {}): Promise<void> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  if (!isActive(container)) return
  await endContainer(store, container, options)
  recordContainerEvent(store, 'stop', container)
}

async function endContainer(store: Store, container: Container, options: StopOptions): Promise<void> {
  const { id, settings } = container
  const { signal } = options
  const timeout = options.timeout ?? settings.stopTimeout ?? defaultTimeout
  const patience = timeout < 0 ? Infinity : timeout * 1000
  const wanted = parseSignal(options.stopSignal ?? settings.config.StopSignal ?? 'SIGTERM')
  try {
    await signalContainer(store, container, wanted, { isFinal: true })
    if ((await waitForEnd(store, id, { patience, signal })) !== false) return
    await signalContainer(store, container, signalNumbers.SIGKILL, { isFinal: true })
  } catch (error) {
    // It ended in between.
    if (!isCairnError(error, 'CONTAINER_STOPPED')) throw error
  }
  if ((await waitForEnd(store, id, { patience: killPatience, signal })) === false)
    throw new CairnError(
      'CONTAINER_RUNNING',
      `cannot stop container: ${container.name}: it did not end within ${killPatience / 1000} s of SIGKILL`,
    )
}
