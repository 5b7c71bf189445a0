import type { Digest } from '../oci/digest.ts'
import type { LayerCompression } from '../oci/media-types.ts'
import type { Store } from './store.ts'

/** A blob that unpacks to a layer. */
export interface LayerRecord {
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest
  /** Digest of the blob: `diffId` itself where it is not compressed. */
  readonly digest: Digest
  readonly compression: LayerCompression
  /** Bytes of the blob. */
  readonly size: number
  /** Bytes of the uncompressed tar. */
  readonly unpackedSize: number
}

const columns = 'diff_id AS diffId, digest, compression, size, unpacked_size AS unpackedSize'

/** Records what a blob unpacks to. Only for blobs whose diff ID was computed, never for one that was merely claimed. */
export function putLayerRecord(store: Store, layer: LayerRecord): void {
  store.database.run(
    'INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?, ?, ?)',
    layer.diffId,
    layer.digest,
    layer.compression,
    layer.size,
    layer.unpackedSize,
    Date.now(),
  )
}

/**
 * The forms in which the store has a layer: uncompressed first, then by size. Blobs that are not as long as they were do
 * not count. Claim one before relying on it.
 */
export function listLayerForms(store: Store, diffId: Digest): LayerRecord[] {
  return store.database
    .all<LayerRecord>(
      `SELECT ${columns} FROM layers WHERE diff_id = ? ORDER BY compression <> 'none', size, digest`,
      diffId,
    )
    .filter(({ digest, size }) => store.blobs.size(digest) === size)
}

/** The first of {@link listLayerForms} of each of `diffIds` that has any, asked for all at once. */
export function preferredForms(store: Store, diffIds: readonly Digest[]): ReadonlyMap<Digest, LayerRecord> {
  const found = new Map<Digest, LayerRecord>()
  const sql = `SELECT ${columns} FROM layers WHERE diff_id IN (SELECT value FROM json_each(?))
     ORDER BY compression <> 'none', size, digest`
  for (const layer of store.database.all<LayerRecord>(sql, JSON.stringify(diffIds)))
    if (!found.has(layer.diffId) && store.blobs.size(layer.digest) === layer.size) found.set(layer.diffId, layer)
  return found
}

/** The layers of one compression that came last, the latest first. Their blobs may be gone: claim one before relying on it. */
export function listRecentLayers(store: Store, compression: LayerCompression, limit: number): readonly LayerRecord[] {
  return store.database.all<LayerRecord>(
    `SELECT ${columns} FROM layers WHERE compression = ? ORDER BY created_at DESC LIMIT ?`,
    compression,
    limit,
  )
}

/** What a blob unpacks to, where that is known. */
export function getLayerRecord(store: Store, digest: Digest): LayerRecord | undefined {
  return store.database.one<LayerRecord>(`SELECT ${columns} FROM layers WHERE digest = ?`, digest)
}

/** When the store first had a layer, in milliseconds since 1970. */
export function layerArrival(store: Store, diffId: Digest): number | undefined {
  const sql = 'SELECT min(created_at) AS arrivedAt FROM layers WHERE diff_id = ?'
  return store.database.one<{ arrivedAt: number | null }>(sql, diffId)?.arrivedAt ?? undefined
}

/** Bytes of a layer's uncompressed tar, where the store has ever seen one. */
export function getUnpackedSize(store: Store, diffId: Digest): number | undefined {
  const row = store.database.one<{ size: number }>('SELECT unpacked_size AS size FROM layers WHERE diff_id = ?', diffId)
  return row?.size
}

/** Bytes that all blobs of each layer take on the disk, in blocks of 4 KiB: of a composed one what is there for it alone. */
export function listLayerSizes(store: Store): { readonly diffId: Digest; readonly size: number }[] {
  return store.database.all(
    `SELECT diff_id AS diffId, sum((coalesce(own_size, layers.size) + 4095) / 4096 * 4096) AS size
     FROM layers LEFT JOIN composed_blobs USING (digest) GROUP BY diff_id`,
  )
}
