import type { Store } from '../content/store.ts'
import { signalNumbers } from '../linux/signals.ts'
import { signalProcess } from '../linux/processes.ts'
import type { Container } from './container.ts'
import { recordContainerEvent } from './container-events.ts'
import { getContainer } from './container-records.ts'
import { discardContainer, stillRunning } from './discard-container.ts'
import { findInit } from './init-process.ts'
import { recoverContainers } from './recovery.ts'

export interface RemoveOptions {
  /** Kills a running container first. */
  readonly force?: boolean
  /** Removes the volumes that only it uses and that have no name of their own. */
  readonly volumes?: boolean
}

/** How long a killed container's process may take to take note of it, in milliseconds. */
const killPatience = 10_000
const killPause = 10

/**
 * Removes a container with its writable directory. Throws CONTAINER_RUNNING with docker's text unless `force`;
 * CANCELED.
 */
export async function removeContainer(
  store: Store,
  container: Container,
  options: RemoveOptions = {},
  signal?: AbortSignal,
): Promise<void> {
  if (container.state === 'running') {
    if (options.force !== true) throw stillRunning(container, 'stop the container before removing or force remove')
    await killContainer(store, container, signal)
  }
  discardContainer(store, container.id, options.volumes === true)
}

/** Kills a container of any process and waits until that process has recorded its end. */
async function killContainer(store: Store, container: Container, signal: AbortSignal | undefined): Promise<void> {
  const deadline = Date.now() + killPatience
  recordContainerEvent(store, 'kill', container, { signal: String(signalNumbers.SIGKILL) })
  for (;;) {
    const current = getContainer(store, container.id)
    if (current === undefined || current.state !== 'running') return
    if (Date.now() > deadline) throw stillRunning(current, `it did not end within ${killPatience / 1000} s of SIGKILL`)
    // Looked up anew each time: it may be starting.
    const init = findInit(store, container.id)
    if (init !== undefined) signalProcess(init, signalNumbers.SIGKILL)
    else recoverContainers(store)
    await Bun.sleep(killPause)
    signal?.throwIfAborted()
  }
}
