import { tryListDirectory } from '../linux/directories.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { removeOldDownloads } from './downloads.ts'
import { doubtful } from './garbage.ts'
import { blobNode, snapshotNode, type StoreNode } from './graph.ts'
import { acquireLock, type LockOptions } from './lock.ts'
import { recoverThoroughly } from './recovery.ts'
import type { Store } from './store.ts'
import { batchSize, type GarbageReport, type RemoveTree, Sweep } from './sweep.ts'

export interface GarbageOptions extends LockOptions {
  /** Removes a snapshot's directory. */
  readonly remove?: RemoveTree
}

/**
 * Removes every blob and snapshot that nothing leads to: no image, tag, pin, cache record, fetched file, repository of the
 * registry or lease of a living process. One such collection runs at a time; others wait for it. See {@link collectFrom}.
 */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<GarbageReport> {
  using _lock = await acquireLock(store, 'garbage-collection', { purpose: 'to free space', ...options })
  recoverThoroughly(store, options.remove ?? removeTree)
  removeOldDownloads(store)
  return await collectFrom(store, everyNode(store), options)
}

/**
 * Removes those of `nodes` that nothing leads to, and what only they led to, in time linear in what goes. Readers are
 * never blocked and writers for milliseconds only: whether something is needed is asked in the transaction that removes
 * it, and whoever relies on something protects it by a lease *before* looking whether it is there.
 */
export async function collectFrom(
  store: Store,
  nodes: Iterable<StoreNode>,
  options: GarbageOptions = {},
): Promise<GarbageReport> {
  const sweep = new Sweep(store, options.remove ?? removeTree)
  const queue = [...nodes]
  while (queue.length > 0) {
    options.signal?.throwIfAborted()
    queue.push(...sweep.removeUnneeded(doubtful(store, queue.splice(-batchSize))))
    await Bun.sleep(0)
  }
  return sweep.report()
}

/** Whatever may be garbage: what lost a keeper, all blobs, snapshots and their directories, and all that links go out from. */
function everyNode(store: Store): Set<StoreNode> {
  const nodes = new Set<StoreNode>()
  for (const { node } of store.database.all<{ node: StoreNode }>('SELECT node FROM garbage')) nodes.add(node)
  for (const { parent } of store.database.all<{ parent: StoreNode }>('SELECT DISTINCT parent FROM links'))
    nodes.add(parent)
  for (const digest of blobsOnDisk(store)) nodes.add(blobNode(digest))
  for (const { id } of store.database.all<{ id: string }>('SELECT id FROM snapshots')) nodes.add(snapshotNode(id))
  for (const id of namesIn(store.path('snapshots'))) nodes.add(snapshotNode(id))
  return nodes
}

function blobsOnDisk(store: Store): Digest[] {
  const directory = store.path('content', 'blobs')
  return namesIn(directory).flatMap((algorithm) =>
    namesIn(`${directory}/${algorithm}`)
      .map((hex) => `${algorithm}:${hex}`)
      .filter(isDigest),
  )
}

function namesIn(directory: string): string[] {
  return tryListDirectory(directory).map(({ name }) => name)
}
