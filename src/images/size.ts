import { listLayerForms } from '../content/layer-records.ts'
import type { Store } from '../content/store.ts'
import type { Digest } from '../oci/digest.ts'

/**
 * The one size model, in bytes. `unpacked` counts each layer as the bytes of its uncompressed tar, which every
 * machine agrees on; `content` the blobs as they are kept, each once.
 */
export interface ImageSize {
  /** Manifests, configs and layer blobs that the store holds for the image. */
  readonly content: number
  /** All layers unpacked: what docker calls SIZE. */
  readonly unpacked: number
  /** Of `unpacked`, what other images have too. */
  readonly shared: number
  /** Of `unpacked`, what only this image has: what its removal would free. */
  readonly unique: number
}

/** What the sizes of an image are computed from. */
export interface MeasuredImage {
  readonly imageId: Digest
  /** Of the layers, of all platforms the store holds. */
  readonly diffIds: readonly Digest[]
  /** All blobs the image leads to. */
  readonly blobs: readonly Digest[]
}

/** Bytes of a layer's uncompressed tar; 0 for a layer that the store does not hold. */
export function unpackedSize(store: Store, diffId: Digest): number {
  return listLayerForms(store, diffId)[0]?.unpackedSize ?? 0
}

/** The sizes of images, in their order. What is shared is told among these, so pass all there are. */
export function measureImages(store: Store, images: readonly MeasuredImage[]): ImageSize[] {
  const sizes = new Map<Digest, number>()
  const users = new Map<Digest, Set<Digest>>()
  for (const { imageId, diffIds } of images) {
    for (const diffId of diffIds) {
      if (!sizes.has(diffId)) sizes.set(diffId, unpackedSize(store, diffId))
      users.set(diffId, (users.get(diffId) ?? new Set()).add(imageId))
    }
  }
  return images.map(({ diffIds, blobs }) => {
    const layers = [...new Set(diffIds)]
    const total = (some: readonly Digest[]) => some.reduce((sum, diffId) => sum + (sizes.get(diffId) ?? 0), 0)
    const unpacked = total(layers)
    const shared = total(layers.filter((diffId) => (users.get(diffId)?.size ?? 0) > 1))
    const content = [...new Set(blobs)].reduce((sum, digest) => sum + (store.blobs.size(digest) ?? 0), 0)
    return { content, unpacked, shared, unique: unpacked - shared }
  })
}
