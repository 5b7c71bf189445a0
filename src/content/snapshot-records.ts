import { CairnError } from '../errors/error.ts'
import { tryLstat } from '../linux/file-status.ts'
import type { Digest } from '../oci/digest.ts'
import { putLinkedSnapshot, settleLinkedSizes } from './linked-snapshots.ts'
import type { Store } from './store.ts'
import { bootId } from './unsynced-snapshots.ts'

/**
 * `preparing`: being filled by a session, and removed if that dies. `committed`: a finished layer, kept while the
 * layer is. `active`: written to by its owner (a container), kept while pinned.
 */
export type SnapshotState = 'preparing' | 'committed' | 'active'

/** A directory below `snapshots/`. */
export interface SnapshotRecord {
  /** Name of the directory. */
  readonly id: string
  /** The layer it is the content of, for a committed one. */
  readonly diffId: Digest | null
  readonly state: SnapshotState
  /** Bytes on the disk, 0 while not committed. */
  readonly size: number
  readonly createdAt: number
  readonly usedAt: number
}

const columns = 'id, diff_id AS diffId, state, size, created_at AS createdAt, used_at AS usedAt'

/**
 * Records a snapshot that this session begins to fill; to be called before its directory is made. If the process
 * dies the next command removes it.
 */
export function beginSnapshot(store: Store, id: string): void {
  const now = Date.now()
  const session = store.session.id
  store.database.run('INSERT INTO snapshots VALUES (?, NULL, ?, 0, ?, ?, ?)', id, 'preparing', session, now, now)
}

/**
 * Records that a snapshot is finished: the content of layer `diffId`, which takes `size` bytes on the disk, or `active` without
 * a layer. From now on it stays while something leads to it. What it has of the snapshots `linked` is not in its size.
 */
export function finishSnapshot(
  store: Store,
  id: string,
  result:
    | {
        readonly state: 'committed'
        readonly diffId: Digest
        readonly size: number
        readonly linked?: readonly string[]
      }
    | { readonly state: 'active' },
): void {
  const diffId = result.state === 'committed' ? result.diffId : null
  const { size, linked = [] } = result.state === 'committed' ? result : { size: 0 }
  const changed = store.database.transaction(() => {
    const updated = store.database.run(
      'UPDATE snapshots SET state = ?, diff_id = ?, size = ?, session = NULL WHERE id = ?',
      result.state,
      diffId,
      size,
      id,
    )
    if (updated > 0 && diffId !== null)
      store.database.run('INSERT OR REPLACE INTO unsynced_snapshots VALUES (?, ?)', id, bootId())
    if (updated > 0 && linked.length > 0) putLinkedSnapshot(store, id, linked)
    return updated
  })
  if (changed === 0) throw new CairnError('STORE_UNUSABLE', `snapshot ${id} was removed while it was being made`)
}

export function getSnapshot(store: Store, id: string): SnapshotRecord | undefined {
  return store.database.one<SnapshotRecord>(`SELECT ${columns} FROM snapshots WHERE id = ?`, id)
}

/**
 * The finished snapshot of a layer, if its directory is there: a process that was killed while it removed it may have
 * left the record. One that was made before the machine last started and is not known to be on the disk does not count.
 * Whoever relies on it protects it by a lease first.
 */
export function findSnapshot(store: Store, diffId: Digest): SnapshotRecord | undefined {
  return store.database
    .all<SnapshotRecord>(
      `SELECT ${columns} FROM snapshots WHERE diff_id = ? AND state = 'committed'
         AND NOT EXISTS (SELECT 1 FROM unsynced_snapshots AS u WHERE u.id = snapshots.id AND boot != ?)
       ORDER BY created_at, id`,
      diffId,
      bootId(),
    )
    .find(({ id }) => tryLstat(store.path('snapshots', id, 'fs')) !== undefined)
}

export function listSnapshots(store: Store): SnapshotRecord[] {
  return store.database.all<SnapshotRecord>(`SELECT ${columns} FROM snapshots ORDER BY id`)
}

/** Forgets a snapshot; its directory is the caller's to remove, afterwards. */
export function deleteSnapshot(store: Store, id: string): boolean {
  return store.database.run('DELETE FROM snapshots WHERE id = ?', id) > 0
}

/** Bytes on the disk of the directory of each layer that is unpacked. */
export function listSnapshotSizes(store: Store): { readonly diffId: Digest; readonly size: number }[] {
  settleLinkedSizes(store)
  return store.database.all(
    `SELECT diff_id AS diffId, size FROM snapshots WHERE diff_id IS NOT NULL AND state = 'committed'`,
  )
}
