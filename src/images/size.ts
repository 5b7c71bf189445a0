import { getUnpackedSize } from '../content/layer-records.ts'
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

/** Bytes of a layer's uncompressed tar; 0 for a layer the store knows nothing of. */
export function unpackedSize(store: Store, diffId: Digest): number {
  return getUnpackedSize(store, diffId) ?? 0
}

/** Looks each layer and blob up once, however many images have it. */
export class SizeLookup {
  readonly #store: Store
  readonly #layers = new Map<Digest, number>()
  readonly #blobs = new Map<Digest, number>()

  constructor(store: Store) {
    this.#store = store
  }

  /** Bytes of layers unpacked. */
  ofLayers(diffIds: readonly Digest[]): number {
    return sum(diffIds, this.#layers, (diffId) => unpackedSize(this.#store, diffId))
  }

  /** Bytes of the blobs that are in the store. */
  ofBlobs(digests: readonly Digest[]): number {
    return sum(digests, this.#blobs, (digest) => this.#store.blobs.size(digest) ?? 0)
  }
}

/** The sizes of images, in their order. What is shared is told among these, so pass all there are. */
export function measureImages(sizes: SizeLookup, images: readonly MeasuredImage[]): ImageSize[] {
  const users = new Map<Digest, Set<Digest>>()
  for (const { imageId, diffIds } of images)
    for (const diffId of diffIds) users.set(diffId, (users.get(diffId) ?? new Set()).add(imageId))
  return images.map(({ diffIds, blobs }) => {
    const layers = [...new Set(diffIds)]
    const unpacked = sizes.ofLayers(layers)
    const shared = sizes.ofLayers(layers.filter((diffId) => (users.get(diffId)?.size ?? 0) > 1))
    return { content: sizes.ofBlobs([...new Set(blobs)]), unpacked, shared, unique: unpacked - shared }
  })
}

function sum(keys: readonly Digest[], known: Map<Digest, number>, look: (key: Digest) => number): number {
  let total = 0
  for (const key of keys) {
    const size = known.get(key) ?? look(key)
    known.set(key, size)
    total += size
  }
  return total
}
