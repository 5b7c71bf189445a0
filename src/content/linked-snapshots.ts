import { treeSize } from '../linux/tree-size.ts'
import type { Store } from './store.ts'

/**
 * Records that a finished snapshot has files that are also in others, each one file with several names. Of these
 * snapshots each file counts for the oldest that has it.
 */
export function putLinkedSnapshot(store: Store, id: string, others: readonly string[]): void {
  const { database } = store
  const ids = JSON.stringify([id, ...others])
  database.transaction(() => {
    const groups = database.all<{ name: string }>(
      'SELECT DISTINCT group_name AS name FROM linked_snapshots WHERE id IN (SELECT value FROM json_each(?))',
      ids,
    )
    const [name = id] = groups.map((group) => group.name)
    const names = JSON.stringify(groups.map((group) => group.name))
    database.run(
      'UPDATE linked_snapshots SET group_name = ? WHERE group_name IN (SELECT value FROM json_each(?))',
      name,
      names,
    )
    database.run(
      `INSERT OR IGNORE INTO linked_snapshots
       SELECT id, ?, 0 FROM snapshots WHERE id IN (SELECT value FROM json_each(?))`,
      name,
      ids,
    )
  })
}

/** The group of each snapshot that has files of others. */
export function listLinkedSnapshots(store: Store): ReadonlyMap<string, string> {
  const rows = store.database.all<{ id: string; name: string }>('SELECT id, group_name AS name FROM linked_snapshots')
  return new Map(rows.map(({ id, name }) => [id, name]))
}

/**
 * Where a snapshot is gone that files counted for which others have too, they count for these from now on. Costs one query
 * where there is none. Gives the bytes that were so of what was removed, and are still there.
 */
export function settleLinkedSizes(store: Store): number {
  if (store.isReadOnly) return 0
  const { database } = store
  let grown = 0
  for (const { name } of database.all<{ name: string }>(
    'SELECT DISTINCT group_name AS name FROM linked_snapshots WHERE is_stale = 1',
  )) {
    const members = database.all<{ id: string; size: number }>(
      `SELECT id, size FROM linked_snapshots JOIN snapshots USING (id) WHERE group_name = ? ORDER BY created_at, id`,
      name,
    )
    const counted = new Set<string>()
    const sizes = members.map(({ id }) => treeSize(store.path('snapshots', id), counted))
    database.transaction(() => {
      for (const [index, { id, size }] of members.entries()) {
        database.run('UPDATE snapshots SET size = ? WHERE id = ?', sizes[index] as number, id)
        grown += (sizes[index] as number) - size
      }
      if (members.length === 1) database.run('DELETE FROM linked_snapshots WHERE group_name = ?', name)
      else database.run('UPDATE linked_snapshots SET is_stale = 0 WHERE group_name = ?', name)
    })
  }
  return grown
}
