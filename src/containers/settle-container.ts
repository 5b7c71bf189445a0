import { tryAcquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { isRunning, processStatus, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { removeCgroup, withHostCgroups } from '../runtime/cgroups.ts'
import { deleteMonitored, monitoredEnd, wasOutOfMemory } from '../runtime/monitor.ts'
import { processScope } from '../rootless/namespace-record.ts'
import { attendAgain, dismissAttendants, isUnattended } from './attendants.ts'
import type { Container, ContainerRun, RestartRecord } from './container.ts'
import { getContainer, recordMonitoredEnd, recordRestart } from './container-records.ts'
import { forgetContainer, removeTrees } from './discard-container.ts'
import { tidyNetworks } from './network.ts'
import { ownCommand } from './own-command.ts'
import { cgroupPath, containerDirectory, containerLock, monitoredRoot } from './places.ts'
import { planRestart } from './restart-policy.ts'
import { runState } from './run-state.ts'

/** Status of a container that nobody can ask any more. */
const killedStatus = 137
/** Status of a container that ran when the machine went down; docker's. */
const lostStatus = 255

/** How long a monitor may take to write down how its container ended, in milliseconds. */
const monitorPatience = 5_000
/** How long another process may take that is at the same container, in milliseconds. */
const lockPatience = 5_000
const pause = 5

/**
 * The container `id` as it is now: where its processes have ended and nobody has recorded that yet, that is done, and
 * what its restart policy and `--rm` ask for is set going. Whoever asks about a container asks this first, so what is
 * recorded is true whichever processes were killed. Undefined where it is gone, also by this.
 */
export function settleContainer(store: Store, id: string): Container | undefined {
  const deadline = Date.now() + lockPatience
  for (;;) {
    const container = getContainer(store, id)
    if (container === undefined || !isUnsettled(container)) return container
    const lock = tryAcquireLock(store, containerLock(id))
    if (lock !== undefined) {
      try {
        settle(store, id)
      } finally {
        lock.release()
      }
    } else if (Date.now() > deadline) return container
    else Bun.sleepSync(pause)
  }
}

/** {@link settleContainer} for all containers that run or are to. Costs a query and a file of /proc for each. */
export function settleContainers(store: Store): void {
  const rows = store.database.all<{ id: string }>(
    "SELECT id FROM containers WHERE session IS NULL AND state IN ('running', 'paused', 'restarting')",
  )
  for (const { id } of rows) settleContainer(store, id)
}

function isUnsettled({ session, state, run, restart }: Container): boolean {
  if (session !== null) return false
  if (state === 'restarting') return isForgotten(restart)
  if ((state !== 'running' && state !== 'paused') || run === null) return false
  const found = runState(run)
  return found === 'ended' || found === 'unwatched' || (found === 'running' && isUnattended(run))
}

/** True where a container should be started again by now and the process that was to do it is gone. */
function isForgotten(restart: RestartRecord | null): boolean {
  return restart?.waiter === undefined || !isRunning(restart.waiter)
}

/** To be called with the container's lock held. */
function settle(store: Store, id: string): void {
  const container = getContainer(store, id)
  if (container === undefined || !isUnsettled(container)) return
  if (container.state === 'restarting') {
    const { count = 0, delay = 0, dueAt = Date.now() } = container.restart ?? {}
    awaitRestart(store, id, { count, delay, dueAt })
  } else if (container.run !== null) {
    if (runState(container.run) === 'running') attendAgain(store, container, container.run)
    else end(store, container, container.run)
  }
}

function end(store: Store, container: Container, run: ContainerRun): void {
  const { id } = container
  const bundle = containerDirectory(store, id)
  const { exitCode, at } = endOf(store, container, run)
  dismissAttendants(run)
  const oomKilled = wasOutOfMemory(bundle)
  deleteMonitored(run.runtime, monitoredRoot(store, run.runtime.name), id)
  removeCgroup(cgroupPath(container))
  const { plan, away } = store.database.transaction(() => {
    // Its user may have stopped it just now. One that was to go when it ends is not started again, as docker has it.
    const current = getContainer(store, id) ?? container
    const goes = current.autoRemove && current.restart?.isKept !== true
    const plan = current.autoRemove ? undefined : planRestart(current, exitCode, at)
    recordMonitoredEnd(store, id, { exitCode, at, oomKilled, state: plan === undefined ? 'exited' : 'restarting' })
    return { plan, away: goes ? forgetContainer(store, id, true) : [] }
  })
  removeTrees(away)
  tidyNetworks(store)
  if (plan !== undefined) awaitRestart(store, id, plan)
}

/** The exit status and when it was: as the monitor has it, unless that was killed. */
function endOf(store: Store, { id }: Container, run: ContainerRun): { readonly exitCode: number; readonly at: number } {
  const bundle = containerDirectory(store, id)
  const deadline = Date.now() + monitorPatience
  if (run.scope !== processScope()) return monitoredEnd(bundle, id) ?? { exitCode: lostStatus, at: Date.now() }
  for (;;) {
    // Asked first, so that what a monitor wrote before it went is not missed.
    const isWatched = isRunning(run.monitor)
    const noted = isRunning(run.init) ? undefined : monitoredEnd(bundle, id)
    if (noted !== undefined) return noted
    if (!isWatched || Date.now() > deadline) break
    Bun.sleepSync(pause)
  }
  // Nobody reads what it writes and nobody would learn of its end: it ends as if killed with its monitor.
  signalProcess(run.init, signalNumbers.SIGKILL)
  while (isRunning(run.init) && Date.now() < deadline) Bun.sleepSync(pause)
  return { exitCode: killedStatus, at: Date.now() }
}

/**
 * Leaves a shell behind that sleeps until the container is due and then calls Cairn: so it is started again whoever
 * ends meanwhile, at the price of a megabyte. When the shell is killed the next command leaves another.
 */
function awaitRestart(store: Store, id: string, plan: RestartRecord & { readonly dueAt: number }): void {
  const seconds = Math.max(0, plan.dueAt - Date.now()) / 1000
  const command = ownCommand(store, 'container', 'revive', id)
  const wait = ['/bin/sh', '-c', 'sleep "$1"; shift; exec "$@"', 'sh', seconds.toFixed(3), ...command]
  const child = withHostCgroups(() =>
    Bun.spawn(wait, { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/', detached: true }),
  )
  child.unref()
  const startTime = processStatus(child.pid)?.startTime
  recordRestart(store, id, { ...plan, ...(startTime === undefined ? {} : { waiter: { pid: child.pid, startTime } }) })
}
