import type { Digest } from '../oci/digest.ts'
import { blobNode, layerNode, type StoreNode } from './graph.ts'
import type { Store } from './store.ts'

/** True where a record keeps a node itself, whatever links lead to it. `node` is an expression of SQL. */
function isRecorded(node: string): string {
  return `EXISTS (SELECT 1 FROM images WHERE digest = ${node})
  OR EXISTS (SELECT 1 FROM tags WHERE digest = ${node}) OR EXISTS (SELECT 1 FROM pins WHERE node = ${node})
  OR EXISTS (SELECT 1 FROM fetched_files WHERE digest = ${node})
  OR EXISTS (SELECT 1 FROM registry_blobs WHERE digest = ${node})
  OR EXISTS (SELECT 1 FROM registry_manifests WHERE digest = ${node})
  OR (${node} LIKE 'cache/%' AND EXISTS (SELECT 1 FROM cache_records WHERE key = substr(${node}, 7)))`
}

const keepers = `SELECT EXISTS (SELECT 1 FROM links WHERE child = ?1) OR ${isRecorded('?1')} AS kept,
  EXISTS (SELECT 1 FROM lease_nodes WHERE node = ?1) AS leased`

const doubtfulNodes = `SELECT value AS node FROM json_each(?) AS asked
  WHERE NOT (EXISTS (SELECT 1 FROM links WHERE child = asked.value) OR ${isRecorded('asked.value')})
    OR EXISTS (SELECT 1 FROM garbage WHERE node = asked.value)`

/** What keeps a thing of the store: a record, nothing but processes that work with it, or nothing. */
export type Keeper = 'record' | 'lease' | undefined

/** What keeps a thing that is known under several nodes. */
export function keeperOf(store: Store, forms: readonly StoreNode[]): Keeper {
  let keeper: Keeper
  for (const form of forms) {
    const row = store.database.one<{ kept: number; leased: number }>(keepers, form)
    if (row?.kept === 1) return 'record'
    if (row?.leased === 1) keeper = 'lease'
  }
  return keeper
}

/**
 * Those of `nodes` that may have to go: that nothing keeps under this very name, or that lost a keeper. Asked for all at
 * once, as nearly everything is kept nearly always.
 */
export function doubtful(store: Store, nodes: readonly StoreNode[]): StoreNode[] {
  return linked(store, doubtfulNodes, JSON.stringify(nodes))
}

/** The layer that a node stands for, in all its forms. */
export function layerOfNode(store: Store, node: StoreNode): Digest | undefined {
  if (node.startsWith('layer/')) return node.slice('layer/'.length) as Digest
  return store.database.one<{ diffId: Digest }>('SELECT diff_id AS diffId FROM layers WHERE digest = ?', node)?.diffId
}

/** The nodes of a layer: it, and the blobs that unpack to it. */
export function layerForms(store: Store, diffId: Digest): StoreNode[] {
  const rows = store.database.all<{ digest: Digest }>('SELECT digest FROM layers WHERE diff_id = ?', diffId)
  return [layerNode(diffId), ...rows.map(({ digest }) => blobNode(digest))]
}

/** Notes nodes that may turn out to be needed by nothing, for whoever ends the last lease on them. */
export function noteGarbage(store: Store, nodes: readonly StoreNode[]): void {
  store.database.transaction(() => {
    for (const node of nodes) store.database.run('INSERT OR IGNORE INTO garbage VALUES (?)', node)
  })
}

/** What no record leads to any more and is still there: what removals left for later, or processes still work with. */
export interface PendingGarbage {
  /** By diff ID. */
  readonly layers: ReadonlySet<Digest>
  /** Every other node. */
  readonly nodes: ReadonlySet<StoreNode>
}

/** Costs one query where there is nothing, which is nearly always so. */
export function pendingGarbage(store: Store): PendingGarbage {
  const [layers, nodes] = [new Set<Digest>(), new Set<StoreNode>()]
  const gone = new Set<StoreNode>()
  const waiting = store.database.all<{ node: StoreNode }>('SELECT node FROM garbage').map(({ node }) => node)
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (gone.has(node)) continue
    const diffId = layerOfNode(store, node)
    const forms = diffId === undefined ? [node] : layerForms(store, diffId)
    // What one parent keeps is asked about again when that turns out to be gone.
    if (forms.some((form) => isKeptBeside(store, form, gone))) continue
    for (const form of forms) {
      gone.add(form)
      waiting.push(...linked(store, 'SELECT child AS node FROM links WHERE parent = ?', form))
    }
    if (diffId === undefined) nodes.add(node)
    else layers.add(diffId)
  }
  return { layers, nodes }
}

function isKeptBeside(store: Store, node: StoreNode, gone: ReadonlySet<StoreNode>): boolean {
  if (store.database.one<{ kept: number }>(`SELECT ${isRecorded('?1')} AS kept`, node)?.kept === 1) return true
  return linked(store, 'SELECT parent AS node FROM links WHERE child = ?', node).some((parent) => !gone.has(parent))
}

function linked(store: Store, query: string, value: string): StoreNode[] {
  return store.database.all<{ node: StoreNode }>(query, value).map((row) => row.node)
}
