import { isRunning } from '../linux/processes.ts'
import { processScope } from '../rootless/namespace-record.ts'
import type { ContainerRun } from './container.ts'

/**
 * What is true of a container that was started with a monitor. `elsewhere` is a pid namespace that this process does not
 * see, of the same boot.
 */
export type RunState = 'running' | 'unwatched' | 'ended' | 'elsewhere'

/** Asks the kernel. `unwatched` is a container whose monitor is gone. */
export function runState({ scope, init, monitor }: ContainerRun): RunState {
  const here = processScope()
  if (scope !== here) return scope.split('/')[0] === here.split('/')[0] ? 'elsewhere' : 'ended'
  if (!isRunning(init)) return 'ended'
  return isRunning(monitor) ? 'running' : 'unwatched'
}
