import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { SystemCallError, errno } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import { containerInit } from '../runtime/state.ts'
import { getContainer } from './container-records.ts'
import { runtimeStateDirectory } from './places.ts'
import { runState } from './run-scope.ts'

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
  const root = runtimeStateDirectory(store)
  // In another pid namespace its number means another process.
  const here = `${String(tryStat('/proc/self/ns/pid')?.inode ?? 0)}-`
  for (const owner of namesIn(root).filter((name) => name.startsWith(here)))
    for (const runtime of ['crun', 'runc']) {
      const init = containerInit(`${root}/${owner}/${runtime}/${id}`)
      if (init !== undefined) return init
    }
  return undefined
}

function namesIn(directory: string): string[] {
  try {
    return listDirectory(directory).map(({ name }) => name)
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENOENT) return []
    throw error
  }
}
