import type { Digest } from '../oci/digest.ts'
import type { Store } from './store.ts'

declare const brand: unique symbol

/**
 * A thing in the store that is kept as long as something leads to it: a blob by its digest, else `layer/<diff id>`,
 * `snapshot/<id>` or `cache/<key>`.
 */
export type StoreNode = string & { readonly [brand]: 'StoreNode' }

export function blobNode(digest: Digest): StoreNode {
  return digest as string as StoreNode
}

/** A layer in all its forms: the blobs that unpack to it and its snapshot. */
export function layerNode(diffId: Digest): StoreNode {
  return `layer/${diffId}` as StoreNode
}

export function snapshotNode(id: string): StoreNode {
  return `snapshot/${id}` as StoreNode
}

export function cacheNode(key: string): StoreNode {
  return `cache/${key}` as StoreNode
}

/** Records that `parent` keeps `children`, for as long as it is kept itself. */
export function link(store: Store, parent: StoreNode, children: readonly StoreNode[]): void {
  store.database.transaction(() => {
    for (const child of children)
      store.database.run('INSERT OR IGNORE INTO links (parent, child) VALUES (?, ?)', parent, child)
  })
}

/** Undoes {@link link} for some of the children. */
export function unlink(store: Store, parent: StoreNode, children: readonly StoreNode[]): void {
  store.database.transaction(() => {
    for (const child of children) store.database.run('DELETE FROM links WHERE parent = ? AND child = ?', parent, child)
  })
}

/** The blobs that a blob leads to over links, itself included. */
export function blobsBelow(store: Store, digest: Digest): Digest[] {
  const rows = store.database.all<{ node: Digest }>(
    `WITH RECURSIVE below (node) AS (
       SELECT ? UNION SELECT child FROM below JOIN links ON links.parent = below.node
     ) SELECT node FROM below`,
    digest,
  )
  return rows.map(({ node }) => node)
}
