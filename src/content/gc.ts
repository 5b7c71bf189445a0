import { listDirectory } from '../linux/directories.ts'
import { SystemCallError, errno } from '../linux/errno.ts'
import { tryLstat } from '../linux/file-status.ts'
import { removeFile, rename } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { BlobIdentity } from './blobs.ts'
import { acquireLock, type LockOptions } from './lock.ts'
import { recoverThoroughly, type RemoveTree } from './recovery.ts'
import type { Store } from './store.ts'

export interface GarbageOptions extends LockOptions {
  /** Only tell what would go. */
  readonly dryRun?: boolean
  /** Removes a snapshot's directory. */
  readonly remove?: RemoveTree
}

/** What a garbage collection removed, or would remove. */
export interface GarbageReport {
  readonly blobs: readonly BlobIdentity[]
  readonly snapshots: readonly { readonly id: string; readonly size: number }[]
  /** Bytes of both. */
  readonly reclaimed: number
}

/** Blobs or snapshots removed in one transaction; other writers wait for about a millisecond. */
const batchSize = 64

/** Everything that a name, image, pin, lease, cache record or fetched file leads to. */
const reachable = `WITH RECURSIVE reachable (node) AS (
  SELECT digest FROM images UNION SELECT digest FROM tags UNION SELECT node FROM pins
  UNION SELECT node FROM lease_nodes UNION SELECT 'cache/' || key FROM cache_records
  UNION SELECT digest FROM fetched_files
  UNION SELECT child FROM reachable JOIN links ON links.parent = reachable.node
  UNION SELECT 'layer/' || diff_id FROM reachable JOIN layers ON layers.digest = reachable.node
  UNION SELECT digest FROM reachable JOIN layers ON layers.diff_id = substr(reachable.node, 7)
)`

/**
 * Removes blobs and snapshots that nothing leads to: no image, tag, pin, cache record, fetched file or lease of a living
 * process. Readers are never blocked and writers for milliseconds only: what is to go is found first and checked again
 * in the transaction that removes it, and whoever relies on something protects it by a lease *before* looking whether it
 * is there. One collection runs at a time; others wait for it.
 */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<GarbageReport> {
  using _lock = await acquireLock(store, 'garbage-collection', options)
  const remove = options.remove ?? removeTree
  recoverThoroughly(store, remove)
  const marks = new Marks(store)
  const blobs = blobsOnDisk(store).filter(({ digest }) => !marks.hasBlob(digest))
  const snapshots = unreachableSnapshots(store, marks)
  if (options.dryRun === true) return report(blobs, snapshots)
  const goneBlobs = await inBatches(blobs, (batch) => sweepBlobs(store, marks, batch))
  const goneSnapshots = await inBatches(snapshots, (batch) => sweepSnapshots(store, marks, batch, remove))
  forgetLinks(store)
  return report(goneBlobs, goneSnapshots)
}

interface SnapshotSize {
  readonly id: string
  readonly size: number
}

/** The reachable nodes, found again whenever the database has changed. */
class Marks {
  readonly #store: Store
  #nodes: ReadonlySet<string> = new Set()
  #mark = ''

  constructor(store: Store) {
    this.#store = store
    this.refresh()
  }

  /** To be called inside the transaction whose decisions rest on the marks. */
  refresh(): void {
    const mark = this.#store.database.changeMark
    if (mark === this.#mark) return
    const rows = this.#store.database.all<{ node: string }>(`${reachable} SELECT node FROM reachable`)
    this.#nodes = new Set(rows.map(({ node }) => node))
    this.#mark = mark
  }

  /** To be called after removals, which make nothing reachable. */
  settle(): void {
    this.#mark = this.#store.database.changeMark
  }

  hasBlob(digest: Digest): boolean {
    return this.#nodes.has(digest)
  }

  hasSnapshot(id: string, diffId: Digest | null): boolean {
    return this.#nodes.has(`snapshot/${id}`) || (diffId !== null && this.#nodes.has(`layer/${diffId}`))
  }
}

function blobsOnDisk(store: Store): BlobIdentity[] {
  const directory = store.path('content', 'blobs')
  return namesIn(directory).flatMap((algorithm) =>
    namesIn(`${directory}/${algorithm}`).flatMap((hex) => {
      const digest = `${algorithm}:${hex}`
      const size = isDigest(digest) ? store.blobs.size(digest) : undefined
      return size === undefined ? [] : [{ digest: digest as Digest, size }]
    }),
  )
}

/** Finished snapshots that nothing leads to, and directories that no record tells of. */
function unreachableSnapshots(store: Store, marks: Marks): SnapshotSize[] {
  const directories = namesIn(store.path('snapshots'))
  const records = snapshotRecords(store)
  const known = new Set(records.map(({ id }) => id))
  return [
    ...records.filter((record) => isGarbage(record, marks)).map(({ id, size }) => ({ id, size })),
    ...directories.filter((id) => !known.has(id)).map((id) => ({ id, size: 0 })),
  ]
}

interface SnapshotRow {
  readonly id: string
  readonly diffId: Digest | null
  readonly state: string
  readonly size: number
}

function snapshotRecords(store: Store): SnapshotRow[] {
  return store.database.all<SnapshotRow>('SELECT id, diff_id AS diffId, state, size FROM snapshots')
}

function isGarbage(record: SnapshotRow, marks: Marks): boolean {
  return record.state !== 'preparing' && !marks.hasSnapshot(record.id, record.diffId)
}

/** Calls `sweep` with a few items at a time and lets others run in between. */
async function inBatches<T>(items: readonly T[], sweep: (batch: readonly T[]) => readonly T[]): Promise<T[]> {
  const gone: T[] = []
  for (let start = 0; start < items.length; start += batchSize) {
    gone.push(...sweep(items.slice(start, start + batchSize)))
    await Bun.sleep(0)
  }
  return gone
}

function sweepBlobs(store: Store, marks: Marks, batch: readonly BlobIdentity[]): BlobIdentity[] {
  const { database } = store
  return database.transaction(() => {
    marks.refresh()
    const garbage = batch.filter(({ digest }) => !marks.hasBlob(digest))
    for (const { digest } of garbage) {
      removeFile(store.blobs.path(digest))
      database.run('DELETE FROM layers WHERE digest = ?', digest)
    }
    marks.settle()
    return garbage
  })
}

function sweepSnapshots(
  store: Store,
  marks: Marks,
  batch: readonly SnapshotSize[],
  remove: RemoveTree,
): readonly SnapshotSize[] {
  const { database } = store
  const away: string[] = []
  const gone = database.transaction(() => {
    marks.refresh()
    const records = new Map(snapshotRecords(store).map((record) => [record.id, record]))
    const garbage = batch.filter(({ id }) => {
      const record = records.get(id)
      return record === undefined || isGarbage(record, marks)
    })
    for (const { id } of garbage) {
      const path = store.path('snapshots', id)
      const target = store.session.temporaryPath('snapshot')
      if (tryLstat(path) !== undefined) {
        rename(path, target)
        away.push(target)
      }
      database.run('DELETE FROM snapshots WHERE id = ?', id)
    }
    marks.settle()
    return garbage
  })
  for (const path of away) remove(path)
  return gone
}

/** Drops the links of what is gone. */
function forgetLinks(store: Store): void {
  store.database.transaction(() => {
    store.database.run(`${reachable} DELETE FROM links WHERE parent NOT IN (SELECT node FROM reachable)`)
  })
}

function namesIn(directory: string): string[] {
  try {
    return listDirectory(directory).map(({ name }) => name)
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === errno.ENOENT) return []
    throw error
  }
}

function report(blobs: readonly BlobIdentity[], snapshots: readonly SnapshotSize[]): GarbageReport {
  const sum = (items: readonly { readonly size: number }[]) => items.reduce((total, { size }) => total + size, 0)
  return { blobs, snapshots, reclaimed: sum(blobs) + sum(snapshots) }
}
