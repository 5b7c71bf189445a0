import { getUnpackedSize } from '../content/layer-records.ts'
import { blobsBelow } from '../content/graph.ts'
import { getDiffIds, listImageLayers, type ManifestRecord } from '../content/manifest-records.ts'
import type { Store } from '../content/store.ts'
import type { Digest } from '../oci/digest.ts'

/** What the sizes of an image are told from. */
export interface MeasuredImage {
  /** Manifests and indexes that lead to it. */
  readonly targets: readonly { readonly digest: Digest }[]
  /** The manifests of all platforms that are held. */
  readonly platforms: readonly Pick<ManifestRecord, 'digest' | 'contentSize' | 'unpackedSize'>[]
}

/** Bytes of the uncompressed tars of layers, each once; a layer the store knows nothing of counts 0. */
export function unpackedSize(store: Store, diffIds: readonly Digest[]): number {
  return total(new Set(diffIds), (diffId) => getUnpackedSize(store, diffId) ?? 0)
}

/** Bytes of those of the blobs that are in the store, each once. */
export function contentSize(store: Store, digests: readonly Digest[]): number {
  return total(new Set(digests), (digest) => store.blobs.size(digest) ?? 0)
}

/**
 * The one size model, in bytes. `unpacked` counts each layer as the bytes of its uncompressed tar, which every machine
 * agrees on: docker's SIZE. `shared` is the part of it that other images have too, `unique` the part that only this one
 * has: what its removal would free. `content` counts the blobs as they are kept, each once.
 */
export class ImageSizes {
  readonly #store: Store
  readonly #layers = new Map<Digest, number>()
  #users: ReadonlyMap<Digest, number> | undefined

  constructor(store: Store) {
    this.#store = store
  }

  unpacked({ platforms }: MeasuredImage): number {
    const [only] = platforms
    if (only === undefined || platforms.length === 1) return only?.unpackedSize ?? 0
    return this.#sum(layersOf(this.#store, platforms))
  }

  content({ targets, platforms }: MeasuredImage): number {
    const [only] = platforms
    const [target] = targets
    if (only !== undefined && targets.length === 1 && only.digest === target?.digest) return only.contentSize
    const blobs = targets.flatMap(({ digest }) => blobsBelow(this.#store, digest))
    return contentSize(this.#store, blobs)
  }

  shared({ platforms }: MeasuredImage): number {
    const users = (this.#users ??= this.#countUsers())
    const layers = layersOf(this.#store, platforms)
    return this.#sum(new Set([...layers].filter((diffId) => (users.get(diffId) ?? 0) > 1)))
  }

  unique(image: MeasuredImage): number {
    return this.unpacked(image) - this.shared(image)
  }

  #countUsers(): ReadonlyMap<Digest, number> {
    const users = new Map<Digest, number>()
    for (const layers of listImageLayers(this.#store).values())
      for (const diffId of layers) users.set(diffId, (users.get(diffId) ?? 0) + 1)
    return users
  }

  #sum(diffIds: ReadonlySet<Digest>): number {
    return total(diffIds, (diffId) => {
      const size = this.#layers.get(diffId) ?? getUnpackedSize(this.#store, diffId) ?? 0
      this.#layers.set(diffId, size)
      return size
    })
  }
}

/** Diff IDs of the layers of all these manifests, each once. */
function layersOf(store: Store, platforms: MeasuredImage['platforms']): ReadonlySet<Digest> {
  return new Set(platforms.flatMap(({ digest }) => getDiffIds(store, digest)))
}

function total(digests: ReadonlySet<Digest>, size: (digest: Digest) => number): number {
  let sum = 0
  for (const digest of digests) sum += size(digest)
  return sum
}
