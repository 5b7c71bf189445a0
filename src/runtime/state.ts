import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { makeDirectories } from '../linux/names.ts'
import { type ProcessIdentity, isAlive, ownIdentity, signalProcess } from '../linux/processes.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { signalNumbers } from '../linux/signals.ts'
import { tryStat } from '../linux/file-status.ts'
import { readTextFile } from '../linux/text-file.ts'

/**
 * Where the runtimes keep their state. Below the caller's state directory each process has a directory of its own,
 * named for exactly this process, so that whoever comes later can tell what a dead one left behind:
 * `<pid namespace>-<pid>-<start time>/<runtime>/<container>/`.
 */
export function ownStateDirectory(stateDirectory: string): string {
  const { pid, startTime } = ownIdentity()
  const path = `${stateDirectory}/${pidNamespace()}-${pid}-${startTime}`
  makeDirectories(path, 0o700)
  return path
}

/** Numbers of processes mean nothing in another pid namespace, of a container with the same store for example. */
function pidNamespace(): string {
  return String(tryStat('/proc/self/ns/pid')?.inode ?? 0)
}

/** The init process of the container whose state is in `directory`; undefined before it exists and after it ended. */
export function containerInit(directory: string): ProcessIdentity | undefined {
  const crun = parse(readTextFile(`${directory}/status`))
  const runc = crun === undefined ? parse(readTextFile(`${directory}/state.json`)) : undefined
  const pid = crun?.['pid'] ?? runc?.['init_process_pid']
  const startTime = crun?.['process-start-time'] ?? runc?.['init_process_start']
  return typeof pid === 'number' && typeof startTime === 'number' && pid > 1 ? { pid, startTime } : undefined
}

/** Undefined also for a file that is only half written. */
function parse(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** What {@link reapAbandoned} found. */
export interface Reaped {
  /** Ids of the containers that still ran. */
  readonly killed: readonly string[]
}

/**
 * Kills the containers below `stateDirectory` whose Cairn process is gone and removes their state. Whatever a living
 * process runs is left alone, and a process is only ever killed when both its number and its start time are those the
 * runtime wrote down.
 */
export function reapAbandoned(stateDirectory: string): Reaped {
  const killed: string[] = []
  for (const owner of directories(stateDirectory)) {
    const [namespace, pid, startTime] = owner.split('-')
    if (namespace !== pidNamespace() || pid === undefined || startTime === undefined) continue
    if (isAlive({ pid: Number(pid), startTime: Number(startTime) })) continue
    for (const runtime of directories(`${stateDirectory}/${owner}`))
      for (const id of directories(`${stateDirectory}/${owner}/${runtime}`)) {
        const init = containerInit(`${stateDirectory}/${owner}/${runtime}/${id}`)
        if (init !== undefined && signalProcess(init, signalNumbers.SIGKILL)) killed.push(id)
      }
    removeTree(`${stateDirectory}/${owner}`)
  }
  return { killed }
}

function directories(path: string): string[] {
  try {
    return listDirectory(path)
      .filter((entry) => entry.type === 'directory')
      .map((entry) => entry.name)
  } catch (error) {
    if (error instanceof CairnError && error.code === 'FILE_UNKNOWN') return []
    throw error
  }
}
