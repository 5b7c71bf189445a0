import { tryStat } from '../linux/file-status.ts'
import { isRunning } from '../linux/processes.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { ContainerRun } from './container.ts'

let known: string | undefined

/** The boot of the machine and the pid namespace that this process is in: where its numbers of processes are good. */
export function runScope(): string {
  const boot = readTextFile('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
  return (known ??= `${boot}/${tryStat('/proc/self/ns/pid')?.inode ?? 0}`)
}

/**
 * What is true of a container that was started with a monitor. `elsewhere` is a pid namespace that this process does not
 * see, of the same boot.
 */
export type RunState = 'running' | 'unwatched' | 'ended' | 'elsewhere'

/** Asks the kernel. `unwatched` is a container whose monitor is gone. */
export function runState({ scope, init, monitor }: ContainerRun): RunState {
  const here = runScope()
  if (scope !== here) return scope.split('/')[0] === here.split('/')[0] ? 'elsewhere' : 'ended'
  if (!isRunning(init)) return 'ended'
  return isRunning(monitor) ? 'running' : 'unwatched'
}
