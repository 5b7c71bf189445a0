import type { Store } from '../content/store.ts'
import { isRunning, signalGroup } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import type { Container, ContainerRun, RestartRecord } from './container.ts'
import { recordRun, recordStarted } from './container-records.ts'
import { watchHealth } from './health.ts'
import { watchLogSize } from './log-rotation.ts'

/** The processes that are there for a container besides its monitor. Whoever finds that one was killed starts it again. */
const kinds = ['health', 'logSize'] as const

/** True where a process that looks after the container is gone. */
export function isUnattended(run: ContainerRun): boolean {
  return kinds.some((kind) => {
    const attendant = run[kind]
    return attendant !== undefined && !isRunning(attendant)
  })
}

/** Starts what looks after a container that runs and is not there. Throws USER_UNKNOWN. */
export function attendAgain(store: Store, container: Container, run: ContainerRun): void {
  recordRun(store, container.id, attended(store, container, run, false))
}

/** Records that a container runs, which this process has claimed, and begins to look after it. Throws USER_UNKNOWN. */
export function recordBegun(
  store: Store,
  container: Container,
  run: ContainerRun,
  restart: RestartRecord,
  at?: number,
): void {
  recordRun(store, container.id, attended(store, container, run, true))
  recordStarted(store, container.id, restart, at)
}

function attended(store: Store, container: Container, run: ContainerRun, isNew: boolean): ContainerRun {
  const { health: oldHealth, logSize: oldLogSize, ...rest } = run
  const isLeft = (process: ContainerRun['health']): boolean => process !== undefined && isRunning(process)
  const health = isLeft(oldHealth) ? oldHealth : watchHealth(store, container, run, isNew)
  const logSize = isLeft(oldLogSize) ? oldLogSize : watchLogSize(store, container, run)
  return { ...rest, ...(health === undefined ? {} : { health }), ...(logSize === undefined ? {} : { logSize }) }
}

/** Ends what looks after a container: shells that were started in groups of their own, with what they wait for. */
export function dismissAttendants(run: ContainerRun): void {
  for (const kind of kinds) {
    const attendant = run[kind]
    if (attendant !== undefined && isRunning(attendant)) signalGroup(attendant, signalNumbers.SIGTERM)
  }
}
