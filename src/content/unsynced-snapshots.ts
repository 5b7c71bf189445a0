import { close, open, openFlags, syncFileSystem } from '../linux/files.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { Digest } from '../oci/digest.ts'
import { listLayerForms } from './layer-records.ts'
import type { Store } from './store.ts'
import type { RemoveTree } from './sweep.ts'

/**
 * After this time the kernel has written by itself nearly all that was written to files (dirty_expire_centisecs is 30
 * seconds), so that the file system is quickly brought to the disk as a whole.
 */
const settlingMilliseconds = 60_000

let boot: string | undefined

/** Tells this run of the machine from every other. */
export function bootId(): string {
  return (boot ??= readTextFile('/proc/sys/kernel/random/boot_id')?.trim() ?? '')
}

/**
 * Unpacked layers are not brought to the disk when they are made, as that would take longer than to unpack them. So it is
 * recorded in which run of the machine they were made, until they are known to be on the disk. Those of an earlier run
 * may lack bytes: their directories are removed here, and made again from their blobs by whoever needs them. Costs one
 * query where there is nothing to do. Gives the IDs of those removed.
 */
export function settleSnapshots(store: Store, remove: RemoveTree): string[] {
  const rows = store.database.all<{ id: string; diffId: Digest; boot: string; createdAt: number }>(
    `SELECT id, diff_id AS diffId, boot, created_at AS createdAt FROM unsynced_snapshots JOIN snapshots USING (id)`,
  )
  const settled = rows.filter((row) => row.boot === bootId() && row.createdAt < Date.now() - settlingMilliseconds)
  if (settled.length > 0) {
    const fd = open(store.path('snapshots'), openFlags.O_RDONLY | openFlags.O_DIRECTORY)
    try {
      syncFileSystem(fd)
    } finally {
      close(fd)
    }
    store.database.transaction(() => {
      for (const { id } of settled) store.database.run('DELETE FROM unsynced_snapshots WHERE id = ?', id)
    })
  }
  // One that cannot be made again stays, unused, for `system check`.
  const doubtful = rows.filter((row) => row.boot !== bootId() && listLayerForms(store, row.diffId).length > 0)
  for (const { id } of doubtful) {
    remove(store.path('snapshots', id))
    store.database.run('DELETE FROM snapshots WHERE id = ?', id)
  }
  return doubtful.map(({ id }) => id)
}
