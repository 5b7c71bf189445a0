import { listCacheRecords } from '../content/cache-records.ts'
import { listLayerForms } from '../content/layer-records.ts'
import { findSnapshot } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { storedImage } from '../images/image.ts'
import { listImages } from '../images/list-images.ts'
import { type Digest, isDigest } from '../oci/digest.ts'

/** The layers of each image, of all its platforms that the store holds. */
export async function layersOfImages(store: Store): Promise<ReadonlyMap<Digest, ReadonlySet<Digest>>> {
  const layers = new Map<Digest, ReadonlySet<Digest>>()
  for (const { imageId, platforms } of listImages(store)) {
    const configs = await Promise.all(platforms.map(({ manifest }) => storedImage(store, manifest.digest).config()))
    layers.set(imageId, new Set(configs.flatMap(({ value }) => value.rootfs.diff_ids)))
  }
  return layers
}

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

/** Bytes a layer takes on disk: its blobs, however compressed, and its files where it is unpacked. */
export function layerDiskSize(store: Store, diffId: Digest): number {
  const blobs = listLayerForms(store, diffId).reduce((sum, { size }) => sum + size, 0)
  return blobs + (findSnapshot(store, diffId)?.size ?? 0)
}
