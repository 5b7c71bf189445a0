import { isCairnError } from '../errors/error.ts'
import { type BlobWriter, blobWriter } from './blobs.ts'
import { blobNode, type StoreNode } from './graph.ts'
import type { Store } from './store.ts'
import { collectPending } from './sweep.ts'

/**
 * Protects blobs, layers and snapshots from garbage collection while a process works with them, until it is released
 * or the process dies. It is the place where blobs come in, so nothing new is ever unprotected: record what keeps
 * them (an image, a cache record) before the release.
 */
export interface Lease extends BlobWriter, Disposable {
  readonly id: string
  /** What is protected so far. */
  readonly nodes: readonly StoreNode[]
  /** Protects nodes, whether or not they are there yet. What is found there afterwards will stay. */
  protect(...nodes: StoreNode[]): void
  /**
   * Ends the protection. May be called again. Throws as the database does; disposal does not, and removes what had to go
   * while it was protected.
   */
  release(): void
}

/** A new lease; it costs nothing until it is used. Hold it with `using`. */
export function acquireLease(store: Store): Lease {
  const id = crypto.randomUUID()
  const nodes = new Set<StoreNode>()
  let isReleased = false

  function protect(...wanted: StoreNode[]): void {
    if (isReleased) throw new Error('this lease was released')
    // Nobody can remove anything there.
    if (store.isReadOnly) return
    const fresh = wanted.filter((node) => !nodes.has(node))
    if (fresh.length === 0) return
    const session = store.session.id
    store.database.transaction(() => {
      store.database.runBriefly('INSERT OR IGNORE INTO leases VALUES (?, ?, ?)', id, session, Date.now())
      const sql = 'INSERT OR IGNORE INTO lease_nodes SELECT ?, value FROM json_each(?)'
      store.database.runBriefly(sql, id, JSON.stringify(fresh))
    })
    for (const node of fresh) nodes.add(node)
  }

  function release(): void {
    if (isReleased) return
    isReleased = true
    if (nodes.size > 0) store.database.runBriefly('DELETE FROM leases WHERE id = ?', id)
  }

  const writer = blobWriter({
    content: store.path('content'),
    blobs: store.blobs,
    temporaryPath: (label) => store.session.temporaryPath(label),
    protect: (digest) => protect(blobNode(digest)),
    named: (directory) => store.named(directory),
  })
  return {
    ...writer,
    id,
    get nodes() {
      return [...nodes]
    },
    protect,
    release,
    [Symbol.dispose]: () => {
      try {
        release()
        if (nodes.size > 0 && store.database.one('SELECT 1 FROM garbage LIMIT 1') !== undefined) collectPending(store)
      } catch (error) {
        // It ends with the session then; what the work came to is what counts.
        if (!isCairnError(error)) throw error
      }
    },
  }
}

/** True while a process that lives, or whose end nobody has noticed, protects this very node. */
export function isLeased(store: Store, node: StoreNode): boolean {
  return store.database.one('SELECT 1 FROM lease_nodes WHERE node = ?', node) !== undefined
}
