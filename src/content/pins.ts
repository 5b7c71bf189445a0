import type { StoreNode } from './graph.ts'
import type { Store } from './store.ts'

/**
 * Keeps `nodes`, and only those, for `owner` (`container/<id>`) until it is unpinned: what a garbage collection must
 * not take although no image, cache record or running process needs it.
 */
export function pin(store: Store, owner: string, nodes: readonly StoreNode[]): void {
  store.database.transaction(() => {
    store.database.run('DELETE FROM pins WHERE owner = ?', owner)
    for (const node of nodes) store.database.run('INSERT OR IGNORE INTO pins VALUES (?, ?)', owner, node)
  })
}

/** Ends what {@link pin} keeps for `owner`. */
export function unpin(store: Store, owner: string): void {
  store.database.run('DELETE FROM pins WHERE owner = ?', owner)
}
