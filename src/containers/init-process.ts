import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import { containerInit } from '../runtime/state.ts'
import { getContainer } from './container-records.ts'
import type { OciRuntime } from '../runtime/runtime.ts'
import { monitoredRoot, runtimeStateDirectory } from './places.ts'
import { runState } from './run-state.ts'

/** The first process of a container that runs. Throws CONTAINER_STOPPED, in docker's words, for one that does not. */
export function findRunningInit(store: Store, id: string): ProcessIdentity {
  const init = findInit(store, id)
  if (init !== undefined) return init
  throw new CairnError('CONTAINER_STOPPED', `container ${id} is not running`)
}

/**
 * The first process of a running container, whichever Cairn process of this pid namespace runs it; undefined before it
 * exists and after it ended.
 */
export function findInit(store: Store, id: string): ProcessIdentity | undefined {
  const run = getContainer(store, id)?.run
  if (run !== null && run !== undefined && runState(run) !== 'ended') return run.init
  return foregroundState(store, id)?.init
}

/** Where a runtime has its state of a container. */
export interface RuntimeState {
  readonly runtime: OciRuntime['name']
  readonly root: string
}

/** The state of a container that runs, in the foreground of another process or with a monitor; undefined of none. */
export function findRuntimeState(store: Store, id: string): RuntimeState | undefined {
  const run = getContainer(store, id)?.run
  if (run === null || run === undefined || runState(run) === 'ended') return foregroundState(store, id)
  return { runtime: run.runtime.name, root: monitoredRoot(store, run.runtime.name) }
}

function foregroundState(store: Store, id: string): (RuntimeState & { readonly init: ProcessIdentity }) | undefined {
  const states = runtimeStateDirectory(store)
  // In another pid namespace its number means another process.
  const here = `${String(tryStat('/proc/self/ns/pid')?.inode ?? 0)}-`
  for (const { name: owner } of tryListDirectory(states)) {
    if (!owner.startsWith(here)) continue
    for (const runtime of ['crun', 'runc'] as const) {
      const root = `${states}/${owner}/${runtime}`
      const init = containerInit(`${root}/${id}`)
      if (init !== undefined) return { runtime, root, init }
    }
  }
  return undefined
}
