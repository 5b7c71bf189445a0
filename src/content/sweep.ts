import { tryLstat } from '../linux/file-status.ts'
import { removeFile } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { blocksOf } from '../linux/tree-size.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { BlobIdentity } from './blobs.ts'
import { blobNode, layerNode, snapshotNode, type StoreNode } from './graph.ts'
import { moveAway } from './removal.ts'
import type { Store } from './store.ts'

/** Removes a directory tree. Rootless stores pass one that works inside the user namespace. */
export type RemoveTree = (path: string) => void

/** What a garbage collection removed. */
export interface GarbageReport {
  readonly blobs: readonly BlobIdentity[]
  readonly snapshots: readonly { readonly id: string; readonly size: number }[]
  /** Bytes of both on the disk. */
  readonly reclaimed: number
}

/** Nodes looked at in one transaction; other writers wait for about a millisecond. */
export const batchSize = 64

/**
 * Goes on with the collections that processes have begun and not ended, because they were killed: removes what has lost
 * what kept it and is not needed by anything else.
 */
export function collectPending(store: Store, remove: RemoveTree = removeTree): void {
  const sweep = new Sweep(store, remove)
  for (;;) {
    const rows = store.database.all<{ node: StoreNode }>('SELECT node FROM garbage LIMIT ?', batchSize)
    if (rows.length === 0) return
    sweep.removeUnneeded(rows.map(({ node }) => node))
  }
}

/** True where something keeps the node itself. */
const isNeeded = `SELECT
  EXISTS (SELECT 1 FROM links WHERE child = ?1) OR EXISTS (SELECT 1 FROM images WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM tags WHERE digest = ?1) OR EXISTS (SELECT 1 FROM pins WHERE node = ?1)
  OR EXISTS (SELECT 1 FROM lease_nodes WHERE node = ?1) OR EXISTS (SELECT 1 FROM fetched_files WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM registry_blobs WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM registry_manifests WHERE digest = ?1)
  OR (?1 LIKE 'cache/%' AND EXISTS (SELECT 1 FROM cache_records WHERE key = substr(?1, 7))) AS needed`

interface SnapshotRow {
  readonly id: string
  readonly size: number
}

/** One collection: removes what it is given and nothing needs, and adds up what that was. */
export class Sweep {
  readonly #store: Store
  readonly #remove: RemoveTree
  readonly #blobs: BlobIdentity[] = []
  readonly #snapshots: SnapshotRow[] = []

  constructor(store: Store, remove: RemoveTree) {
    this.#store = store
    this.#remove = remove
  }

  /** Removes what is not needed of `nodes`; gives what it led to, which may not be needed any more either. */
  removeUnneeded(nodes: readonly StoreNode[]): StoreNode[] {
    const away: string[] = []
    const { database } = this.#store
    const orphans = database.transaction(() =>
      nodes.flatMap((node) => {
        const led = this.#removeNode(node, away)
        database.run('DELETE FROM garbage WHERE node = ?', node)
        return led
      }),
    )
    for (const path of away) this.#remove(path)
    return orphans
  }

  report(): GarbageReport {
    const blobs = this.#blobs.reduce((total, { size }) => total + blocksOf(size), 0)
    const snapshots = this.#snapshots.reduce((total, { size }) => total + size, 0)
    return { blobs: this.#blobs, snapshots: this.#snapshots, reclaimed: blobs + snapshots }
  }

  #removeNode(node: StoreNode, away: string[]): StoreNode[] {
    if (node.startsWith('snapshot/')) {
      this.#removeSnapshot(node.slice('snapshot/'.length), away)
      return []
    }
    const diffId = this.#layerOf(node)
    const forms = diffId === undefined ? [node] : [layerNode(diffId), ...this.#blobsOf(diffId).map(blobNode)]
    if (forms.some((form) => this.#isNeeded(form))) return []
    const orphans = forms.flatMap((form) => this.#removeBlob(form))
    if (diffId !== undefined) for (const { id } of this.#snapshotsOf(diffId)) this.#removeSnapshot(id, away)
    return orphans
  }

  #isNeeded(node: StoreNode): boolean {
    return this.#store.database.one<{ needed: number }>(isNeeded, node)?.needed === 1
  }

  /** The layer that a node stands for, in all its forms. */
  #layerOf(node: StoreNode): Digest | undefined {
    if (node.startsWith('layer/')) return node.slice('layer/'.length) as Digest
    return this.#store.database.one<{ diffId: Digest }>('SELECT diff_id AS diffId FROM layers WHERE digest = ?', node)
      ?.diffId
  }

  #blobsOf(diffId: Digest): Digest[] {
    const rows = this.#store.database.all<{ digest: Digest }>('SELECT digest FROM layers WHERE diff_id = ?', diffId)
    return rows.map(({ digest }) => digest)
  }

  #snapshotsOf(diffId: Digest): { readonly id: string }[] {
    return this.#store.database.all('SELECT id FROM snapshots WHERE diff_id = ?', diffId)
  }

  /** Removes a blob, or a node that is none, with its links and what is recorded of it. */
  #removeBlob(node: StoreNode): StoreNode[] {
    const { database, blobs } = this.#store
    const children = database.all<{ child: StoreNode }>('SELECT child FROM links WHERE parent = ?', node)
    database.run('DELETE FROM links WHERE parent = ?', node)
    if (isDigest(node)) {
      const size = blobs.size(node)
      // Within the transaction: once others may write again, the blob may have come back.
      if (size !== undefined) {
        // What made it unneeded must not be undone by a power failure.
        database.sync()
        removeFile(blobs.path(node))
        this.#blobs.push({ digest: node, size })
      }
      database.run('DELETE FROM layers WHERE digest = ?', node)
      database.run('DELETE FROM manifests WHERE digest = ?', node)
    }
    return children.map(({ child }) => child)
  }

  /** Removes a finished snapshot whose layer is gone, or a directory that no record tells of. */
  #removeSnapshot(id: string, away: string[]): void {
    const { database } = this.#store
    const record = database.one<{ diffId: Digest | null; state: string; size: number }>(
      'SELECT diff_id AS diffId, state, size FROM snapshots WHERE id = ?',
      id,
    )
    if (record?.state === 'preparing' || this.#isNeeded(snapshotNode(id))) return
    const diffId = record?.diffId ?? undefined
    if (
      diffId !== undefined &&
      [layerNode(diffId), ...this.#blobsOf(diffId).map(blobNode)].some((form) => this.#isNeeded(form))
    )
      return
    const hasDirectory = tryLstat(this.#store.path('snapshots', id)) !== undefined
    if (record === undefined && !hasDirectory) return
    if (hasDirectory) database.sync()
    const target = moveAway(this.#store, 'snapshots', id)
    if (target !== undefined) away.push(target)
    database.run('DELETE FROM snapshots WHERE id = ?', id)
    this.#snapshots.push({ id, size: record?.size ?? 0 })
  }
}
