import type { Store } from '../content/store.ts'
import { isCairnError } from '../errors/error.ts'
import { signalNumbers } from '../linux/signals.ts'
import { type Container, isActive } from './container.ts'
import { discardContainer, stillRunning } from './discard-container.ts'
import { signalContainer, waitForEnd } from './end-container.ts'
import { findInit } from './init-process.ts'
import { settleContainer } from './settle-container.ts'

export interface RemoveOptions {
  /** Kills a running container first. */
  readonly force?: boolean
  /** Removes the volumes that only it uses and that have no name of their own. */
  readonly volumes?: boolean
}

/** How long a killed container's process may take to take note of it, in milliseconds. */
const killPatience = 10_000
/** How long a container may take that is just being started by another process. */
const startPatience = 10_000
const startPause = 10

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
  if (isActive(container) || container.session !== null) {
    if (options.force !== true) throw stillRunning(container, 'stop the container before removing or force remove')
    await killContainer(store, container, signal)
  }
  discardContainer(store, container.id, options.volumes === true)
}

/** Kills a container of any process and waits until its end is recorded. */
async function killContainer(store: Store, { id }: Container, signal: AbortSignal | undefined): Promise<void> {
  const deadline = Date.now() + killPatience
  // It may just be on its way from one run to the next.
  for (;;) {
    await awaitStart(store, id, signal)
    const current = settleContainer(store, id)
    if (current === undefined || !isActive(current)) return
    if (Date.now() > deadline) throw stillRunning(current, `it did not end within ${killPatience / 1000} s of SIGKILL`)
    try {
      await signalContainer(store, current, signalNumbers.SIGKILL, { isFinal: true })
    } catch (error) {
      if (!isCairnError(error, 'CONTAINER_STOPPED')) throw error
    }
    await waitForEnd(store, id, { patience: killPatience, signal })
  }
}

/** Waits for the process that is just starting the container, so that there is something to kill. */
async function awaitStart(store: Store, id: string, signal: AbortSignal | undefined): Promise<void> {
  const deadline = Date.now() + startPatience
  for (;;) {
    const container = settleContainer(store, id)
    if (container?.session == null || findInit(store, id) !== undefined || Date.now() > deadline) return
    await Bun.sleep(startPause)
    signal?.throwIfAborted()
  }
}
