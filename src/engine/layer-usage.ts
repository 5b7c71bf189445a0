import { listCacheRecords } from '../content/cache-records.ts'
import { listLayerSizes } from '../content/layer-records.ts'
import { listSnapshotSizes } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { blocksOf } from '../linux/tree-size.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'

/** A result of a build step. */
export interface CachedStep {
  readonly key: string
  /** Undefined for a record that only says that such a step was ever run. */
  readonly layer: Digest | undefined
  /** Milliseconds since 1970. */
  readonly usedAt: number
}

/** All results of build steps, the one unused for longest first. */
export function cachedSteps(store: Store): CachedStep[] {
  return listCacheRecords(store).map(({ key, result, usedAt }) => {
    const { layer } = result as { readonly layer?: { readonly diffId?: string } }
    const diffId = layer?.diffId
    return { key, layer: diffId !== undefined && isDigest(diffId) ? diffId : undefined, usedAt }
  })
}

/**
 * Bytes on disk of the indexes, manifests and configs of each image ID. The order of the joins is forced: from each image
 * to what it leads to; the other way round it would be quadratic in the images.
 */
export function documentSizes(store: Store): ReadonlyMap<Digest, number> {
  const rows = store.database.all<{ imageId: Digest; digest: Digest }>(
    `SELECT image_id AS imageId, digest FROM images
     UNION SELECT image_id, child FROM images CROSS JOIN links ON links.parent = images.digest
     WHERE child NOT IN (SELECT digest FROM layers)
     UNION SELECT images.image_id, below.child FROM images CROSS JOIN links ON links.parent = images.digest
     CROSS JOIN manifests ON manifests.digest = links.child CROSS JOIN links AS below ON below.parent = links.child
     WHERE images.media_type IN ('${mediaTypes.ociIndex}', '${mediaTypes.dockerManifestList}')
       AND below.child NOT IN (SELECT digest FROM layers)`,
  )
  const seen = new Set<Digest>()
  const sizes = new Map<Digest, number>()
  for (const { imageId, digest } of rows) {
    if (seen.has(digest)) continue
    seen.add(digest)
    sizes.set(imageId, (sizes.get(imageId) ?? 0) + blocksOf(store.blobs.size(digest) ?? 0))
  }
  return sizes
}

/** Bytes each layer takes on disk: its blobs, however compressed, and its files where it is unpacked. */
export function layerDiskSizes(store: Store): ReadonlyMap<Digest, number> {
  const sizes = new Map<Digest, number>()
  for (const { diffId, size } of [...listLayerSizes(store), ...listSnapshotSizes(store)])
    sizes.set(diffId, (sizes.get(diffId) ?? 0) + size)
  return sizes
}
