import { recover } from '../content/recovery.ts'
import { seizeSession } from '../content/session.ts'
import type { Store } from '../content/store.ts'
import { SystemCallError } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { removeCgroup } from '../runtime/cgroups.ts'
import { deleteMonitored, hasBegun } from '../runtime/monitor.ts'
import { detectRuntime } from '../runtime/runtime.ts'
import { reapAbandoned } from '../runtime/state.ts'
import { recordBegun } from './attendants.ts'
import { finishNetworkChanges } from './attach-network.ts'
import { getContainer, recordStartFailure, releaseClaim } from './container-records.ts'
import { discardContainer, endHeldContainer, removeTrees } from './discard-container.ts'
import { tidyNetworks } from './network.ts'
import { cgroupPath, monitoredRoot, runtimeStateDirectory } from './places.ts'
import { runState } from './run-state.ts'
import { settleContainers } from './settle-container.ts'

/** Status of a container whose Cairn was killed: it was killed with it, by SIGKILL. */
const killedStatus = 137
const endByKill = { state: 'exited', exitCode: killedStatus } as const

/**
 * Sets right what processes that died have left: ends their containers, records that, removes those that were to go
 * when they end, and then all that recover() removes. Costs two directory listings and a query when there is nothing.
 */
export function recoverContainers(store: Store): void {
  if (store.isReadOnly) return
  try {
    reapAbandoned(runtimeStateDirectory(store))
  } catch (error) {
    // A runtime whose Cairn died may be putting its own state away just now; what it leaves is for the next command.
    if (!(error instanceof SystemCallError)) throw error
  }
  settleContainers(store)
  const rows = store.database.all<{ session: string }>(
    'SELECT DISTINCT session FROM containers WHERE session IS NOT NULL',
  )
  for (const { session } of rows) {
    const dead = seizeSession(store.path('tmp'), session)
    if (dead === undefined) continue
    try {
      // Not before: another process may have set them right since, and they may have been started anew.
      const containers = store.database.all<{ id: string; autoRemove: number; state: string }>(
        'SELECT id, auto_remove AS autoRemove, state FROM containers WHERE session = ?',
        session,
      )
      for (const { id, autoRemove, state } of containers) {
        const isToGo = autoRemove !== 0
        if (state === 'running') removeTrees(endHeldContainer(store, id, endByKill, isToGo))
        else if (!finishStart(store, id) && isToGo) discardContainer(store, id, true)
      }
    } finally {
      dead.release()
    }
  }
  tidyNetworks(store)
  finishNetworkChanges(store)
  recover(store)
}

/**
 * Sets right a start in the background whose process was killed: where the container's command has begun it has only to
 * be recorded, else what there is of it is ended. True where it runs or is to be started again.
 */
function finishStart(store: Store, id: string): boolean {
  const container = getContainer(store, id)
  const run = container?.run ?? undefined
  if (container !== undefined && run !== undefined && runState(run) === 'running') {
    const root = monitoredRoot(store, run.runtime.name)
    if (hasBegun(run.runtime, root, id)) {
      const { count = 0, delay = 0 } = container.restart ?? {}
      recordBegun(store, container, run, { count, delay })
      return true
    }
  }
  for (const name of ['crun', 'runc'] as const) {
    const root = monitoredRoot(store, name)
    if (tryStat(`${root}/${id}`) !== undefined) deleteMonitored(detectRuntime(name), root, id)
  }
  if (container !== undefined) removeCgroup(cgroupPath(container))
  if (container?.state === 'restarting') {
    releaseClaim(store, id)
    return true
  }
  recordStartFailure(store, id, killedStatus, 'the process that started it was killed')
  return false
}
