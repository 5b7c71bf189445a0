import { listCacheRecords } from '../../content/cache-records.ts'
import { listComposedLayers } from '../../content/composed-blobs.ts'
import { listLayerSizes } from '../../content/layer-records.ts'
import { layersOfImages } from '../../content/manifest-records.ts'
import { listSnapshotSizes } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { blocksOf } from '../../linux/tree-size.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'

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
 * Bytes on disk of the indexes, manifests and configs of each image ID. Of plain images, as nearly all are, the two
 * documents are known without a look at what they lead to. Joins go from each image to that: the other way round they
 * would be quadratic in the images.
 */
export function documentSizes(store: Store): ReadonlyMap<Digest, number> {
  const rows = store.database.all<{ imageId: Digest; digest: Digest }>(
    `SELECT image_id AS imageId, digest FROM images
     UNION ALL SELECT images.image_id, images.image_id FROM images JOIN manifests USING (digest)
     WHERE platform IS NOT NULL
     UNION ALL SELECT images.image_id, child FROM images LEFT JOIN manifests USING (digest)
     CROSS JOIN links ON links.parent = images.digest
     WHERE platform IS NULL AND child NOT IN (SELECT digest FROM layers)
     UNION ALL SELECT images.image_id, below.child FROM images CROSS JOIN links ON links.parent = images.digest
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

/** What the layers of the store take, and which of them images have. */
export interface LayerUse {
  /** Bytes on disk by diff ID. */
  readonly sizes: ReadonlyMap<Digest, number>
  readonly ofImages: ReadonlySet<Digest>
}

/** Layers that the blobs of others are composed of count for images as these do. */
export function layerUse(store: Store): LayerUse {
  const ofImages = new Set(layersOfImages(store))
  for (const { layer, source } of listComposedLayers(store)) if (ofImages.has(layer)) ofImages.add(source)
  return { sizes: layerDiskSizes(store), ofImages }
}
