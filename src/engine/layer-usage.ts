import { listCacheRecords } from '../content/cache-records.ts'
import { listLayerSizes } from '../content/layer-records.ts'
import { listSnapshotSizes } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { type Digest, isDigest } from '../oci/digest.ts'

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

/** Bytes each layer takes on disk: its blobs, however compressed, and its files where it is unpacked. */
export function layerDiskSizes(store: Store): ReadonlyMap<Digest, number> {
  const sizes = new Map<Digest, number>()
  for (const { diffId, size } of [...listLayerSizes(store), ...listSnapshotSizes(store)])
    sizes.set(diffId, (sizes.get(diffId) ?? 0) + size)
  return sizes
}
