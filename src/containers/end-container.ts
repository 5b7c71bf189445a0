import { acquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { isRunning, signalGroup, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { runRuntime } from '../runtime/monitor.ts'
import { type Container, isActive } from './container.ts'
import { recordContainerEvent } from './container-events.ts'
import { getContainer, recordEnd, recordPaused, recordStopped } from './container-records.ts'
import { findInit } from './init-process.ts'
import { containerLock, monitoredRoot } from './places.ts'
import { recoverContainers } from './recovery.ts'
import { settleContainer } from './settle-container.ts'

/** Pauses between looks at whether a container has ended, in milliseconds: the first, and the longest. */
const firstPause = 5
const longestPause = 50

/**
 * Waits until a container does not run any more, by whatever made it end, and that is recorded. Gives it as it is then,
 * undefined where it is gone; false where it still runs after `patience` milliseconds. Throws CANCELED.
 */
export async function waitForEnd(
  store: Store,
  id: string,
  { patience = Infinity, signal }: { readonly patience?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<Container | undefined | false> {
  const deadline = performance.now() + patience
  for (let pause = firstPause; ; pause = Math.min(pause * 1.5, longestPause)) {
    const container = settleContainer(store, id)
    if (container === undefined || (container.state !== 'running' && container.state !== 'paused')) return container
    // One of the foreground is recorded by its own process, or when that is gone by whoever comes.
    if (container.session !== null && findInit(store, id) === undefined) recoverContainers(store)
    if (performance.now() >= deadline) return false
    signal?.throwIfAborted()
    await Bun.sleep(Math.max(1, Math.min(pause, deadline - performance.now())))
  }
}

/** What is left to do about the restart policy of a container that gets a signal. */
export interface SignalOptions {
  /** It is to stay ended whatever its policy. */
  readonly isFinal: boolean
}

/**
 * Sends a signal to the first process of a container; a paused one goes on to get it. Throws CONTAINER_STOPPED, in
 * docker's words, where it does not run.
 */
export async function signalContainer(
  store: Store,
  { id, state }: Container,
  signal: number,
  { isFinal }: SignalOptions,
): Promise<void> {
  const container = settleContainer(store, id)
  if (container === undefined || !isActive(container)) throw notRunning(id)
  if (isFinal) recordStopped(store, id)
  if (container.state === 'restarting' && (await cancelRestart(store, id, isFinal))) return
  const init = findInit(store, id)
  if (init === undefined || !signalProcess(init, signal)) {
    if (isRunningStill(store, id)) throw notRunning(id)
    return
  }
  recordContainerEvent(store, 'kill', container, { signal: String(signal) })
  if (state === 'paused' && container.run !== null) {
    const { runtime } = container.run
    await runRuntime(runtime, monitoredRoot(store, runtime.name), ['resume', id])
    recordPaused(store, id, false)
  }
}

function isRunningStill(store: Store, id: string): boolean {
  const container = settleContainer(store, id)
  return container !== undefined && isActive(container)
}

/** The error for a container that does not run; docker's words. */
export function notRunning(id: string): CairnError {
  return new CairnError('CONTAINER_STOPPED', `container ${id} is not running`)
}

/** Keeps a container that waits to be started again from being so; false where it was already. */
async function cancelRestart(store: Store, id: string, isFinal: boolean): Promise<boolean> {
  using _lock = await acquireLock(store, containerLock(id))
  const container = getContainer(store, id)
  if (container?.state !== 'restarting') return false
  const waiter = container.restart?.waiter
  if (waiter !== undefined && isRunning(waiter)) signalGroup(waiter, signalNumbers.SIGKILL)
  recordEnd(store, id, { state: 'exited', exitCode: container.exitCode ?? 0 }, { isDeath: false })
  // What was recorded about starting it again may have come later than the wish to stop it.
  if (isFinal) recordStopped(store, id)
  return true
}
