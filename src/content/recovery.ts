import { CairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { removeFreeLocks } from './lock.ts'
import { putBack } from './removal.ts'
import { settleSnapshots } from './unsynced-snapshots.ts'
import { type DeadSession, seizeSession } from './session.ts'
import type { Store } from './store.ts'
import { collectPending, type RemoveTree } from './sweep.ts'

const lockSuffix = '.lock'

/** What was left behind and is gone now. */
export interface Recovery {
  /** Sessions of processes that died. */
  readonly sessions: readonly string[]
  /** Snapshots they had begun, and those that a crash of the machine may have cut short. */
  readonly snapshots: readonly string[]
  /** Why something could not be removed; the next recovery tries again. */
  readonly failures: readonly CairnError[]
}

/**
 * Removes what processes that died have left: temporary files, leases, snapshots they had not finished, blobs that they
 * brought in and nothing needs, what they were to remove, and unpacked layers that a crash of the machine may have cut
 * short. Costs one directory listing and one query when there is nothing. May run
 * in any number of processes at once.
 */
export function recover(store: Store, remove: RemoveTree = removeTree): Recovery {
  if (store.isReadOnly) return nothing
  const tmp = store.path('tmp')
  return recoverSessions(store, sessionsIn(tmp), remove)
}

const nothing: Recovery = { sessions: [], snapshots: [], failures: [] }

/** As {@link recover}, also for sessions that only the database remembers. */
export function recoverThoroughly(store: Store, remove: RemoveTree = removeTree): Recovery {
  const rows = store.database.all<{ session: string }>(
    'SELECT session FROM leases UNION SELECT session FROM snapshots WHERE session IS NOT NULL',
  )
  const remembered = rows.map(({ session }) => session)
  return recoverSessions(store, new Set([...sessionsIn(store.path('tmp')), ...remembered]), remove)
}

function recoverSessions(store: Store, ids: ReadonlySet<string>, remove: RemoveTree): Recovery {
  const sessions: string[] = []
  const snapshots: string[] = []
  const failures: CairnError[] = []
  for (const id of ids) {
    const session = seizeSession(store.path('tmp'), id)
    if (session === undefined) continue
    try {
      snapshots.push(...forget(store, session, remove))
      sessions.push(id)
    } catch (error) {
      session.release()
      if (!(error instanceof CairnError)) throw error
      failures.push(error)
    }
  }
  try {
    snapshots.push(...settleSnapshots(store, remove))
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    failures.push(error)
  }
  if (sessions.length > 0) {
    removeFreeLocks(store)
    collectPending(store, remove)
  }
  return { sessions, snapshots, failures }
}

/** Sessions that have a lock file or a directory. */
function sessionsIn(tmp: string): ReadonlySet<string> {
  return new Set(
    tryListDirectory(tmp).map(({ name }) => (name.endsWith(lockSuffix) ? name.slice(0, -lockSuffix.length) : name)),
  )
}

/** Ends a dead session's leases and removes the snapshots it was preparing, each with its directory first. */
function forget(store: Store, session: DeadSession, remove: RemoveTree): string[] {
  const { database } = store
  putBack(store, store.path('tmp', session.id))
  database.transaction(() => {
    // What it brought in and did not come to record.
    database.run(
      'INSERT OR IGNORE INTO garbage SELECT node FROM leases JOIN lease_nodes ON lease = id WHERE session = ?',
      session.id,
    )
    database.run('DELETE FROM leases WHERE session = ?', session.id)
  })
  const rows = database.all<{ id: string }>('SELECT id FROM snapshots WHERE session = ?', session.id)
  for (const snapshot of rows) {
    remove(store.path('snapshots', snapshot.id))
    database.run('DELETE FROM snapshots WHERE id = ?', snapshot.id)
  }
  session.remove(remove)
  return rows.map((row) => row.id)
}
