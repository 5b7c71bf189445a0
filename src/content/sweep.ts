import { tryLstat } from '../linux/file-status.ts'
import { removeFile } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { blocksOf } from '../linux/tree-size.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { BlobIdentity } from './blobs.ts'
import { deleteComposedBlob } from './composed-blobs.ts'
import { keeperOf, layerForms, layerOfNode } from './garbage.ts'
import { snapshotNode, type StoreNode } from './graph.ts'
import { settleLinkedSizes } from './linked-snapshots.ts'
import { moveDirectoryAway } from './removal.ts'
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
 * Goes on with the collections that have come to no end, because a process was killed or worked with what was to go:
 * removes what has lost what kept it and is not needed by anything else.
 */
export function collectPending(store: Store, remove: RemoveTree = removeTree): void {
  const sweep = new Sweep(store, remove)
  const leased = new Set<StoreNode>()
  for (;;) {
    const rows = store.database.all<{ node: StoreNode }>(
      'SELECT node FROM garbage WHERE node NOT IN (SELECT value FROM json_each(?)) LIMIT ?',
      JSON.stringify([...leased]),
      batchSize,
    )
    if (rows.length === 0) return
    sweep.removeUnneeded(rows.map(({ node }) => node))
    for (const { node } of rows)
      if (store.database.one('SELECT 1 FROM garbage WHERE node = ?', node) !== undefined) leased.add(node)
  }
}

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

  /**
   * Removes what is not needed of `nodes`; gives what it led to, which may not be needed any more either. What only
   * processes need that work with it is noted as garbage, for the one that ends last.
   */
  removeUnneeded(nodes: readonly StoreNode[]): StoreNode[] {
    if (nodes.length === 0) return []
    const away: string[] = []
    const { database } = this.#store
    const orphans = database.transaction(() =>
      nodes.flatMap((node) => {
        const led = this.#removeNode(node, away)
        if (led === 'leased') this.#note(node)
        else database.run('DELETE FROM garbage WHERE node = ?', node)
        return led === 'leased' ? [] : led
      }),
    )
    for (const path of away) this.#remove(path)
    return orphans
  }

  /** Whoever ends the last lease on it looks again. */
  #note(node: StoreNode): void {
    this.#store.database.run('INSERT OR IGNORE INTO garbage VALUES (?)', node)
  }

  report(): GarbageReport {
    const blobs = this.#blobs.reduce((total, { size }) => total + blocksOf(size), 0)
    const snapshots = this.#snapshots.reduce((total, { size }) => total + size, 0)
    const kept = this.#snapshots.length === 0 ? 0 : settleLinkedSizes(this.#store)
    return { blobs: this.#blobs, snapshots: this.#snapshots, reclaimed: blobs + snapshots - kept }
  }

  #removeNode(node: StoreNode, away: string[]): StoreNode[] | 'leased' {
    if (node.startsWith('snapshot/')) return this.#removeSnapshot(node.slice('snapshot/'.length), away)
    const diffId = layerOfNode(this.#store, node)
    const forms = diffId === undefined ? [node] : layerForms(this.#store, diffId)
    const keeper = keeperOf(this.#store, forms)
    if (keeper !== undefined) return keeper === 'lease' ? 'leased' : []
    const orphans = forms.flatMap((form) => this.#removeBlob(form))
    for (const { id } of diffId === undefined ? [] : this.#snapshotsOf(diffId))
      if (this.#removeSnapshot(id, away) === 'leased') this.#note(snapshotNode(id))
    return orphans
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
      const file = blobs.file(node)
      // Within the transaction: once others may write again, the blob may have come back.
      if (file !== undefined) {
        // What made it unneeded must not be undone by a power failure.
        database.sync()
        removeFile(file)
      }
      // What a composed one is made of goes by itself.
      if (size !== undefined) this.#blobs.push({ digest: node, size: file === undefined ? 0 : size })
      deleteComposedBlob(this.#store, node)
      database.run('DELETE FROM layers WHERE digest = ?', node)
      database.run('DELETE FROM manifests WHERE digest = ?', node)
    }
    return children.map(({ child }) => child)
  }

  /** Removes a finished snapshot whose layer is gone, or a directory that no record tells of. */
  #removeSnapshot(id: string, away: string[]): [] | 'leased' {
    const { database } = this.#store
    const record = database.one<{ diffId: Digest | null; state: string; size: number }>(
      'SELECT diff_id AS diffId, state, size FROM snapshots WHERE id = ?',
      id,
    )
    if (record?.state === 'preparing') return []
    const diffId = record?.diffId ?? undefined
    const forms = [snapshotNode(id), ...(diffId === undefined ? [] : layerForms(this.#store, diffId))]
    const keeper = keeperOf(this.#store, forms)
    if (keeper !== undefined) return keeper === 'lease' ? 'leased' : []
    const hasDirectory = tryLstat(this.#store.path('snapshots', id)) !== undefined
    if (record === undefined && !hasDirectory) return []
    if (hasDirectory) database.sync()
    const target = moveDirectoryAway(this.#store, 'snapshots', id)
    if (target !== undefined) away.push(target)
    database.run('DELETE FROM snapshots WHERE id = ?', id)
    this.#snapshots.push({ id, size: record?.size ?? 0 })
    return []
  }
}
