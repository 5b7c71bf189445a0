import type { Store } from '../../content/store.ts'
import { getDiffIds } from '../../content/manifest-records.ts'
import type { ImageSummary } from '../../images/records/list-images.ts'
import type { Digest } from '../../oci/digest.ts'
import { documentSizes, layerDiskSizes } from './layer-usage.ts'

/** Bytes that images take on the disk: layers with all their forms, and the documents that describe them. */
export class ImageDiskSizes {
  readonly #store: Store
  readonly #layers: ReadonlyMap<Digest, number>
  readonly #documents: ReadonlyMap<Digest, number>

  constructor(store: Store) {
    this.#store = store
    this.#layers = layerDiskSizes(store)
    this.#documents = documentSizes(store)
  }

  /** Of all that an image ID stands for, each layer once. */
  image({ imageId, platforms }: Pick<ImageSummary, 'imageId' | 'platforms'>): number {
    return this.layers(platforms.map(({ digest }) => digest)) + (this.#documents.get(imageId) ?? 0)
  }

  /** Of the layers of some manifests, each once. */
  layers(manifests: readonly Digest[]): number {
    const diffIds = new Set(manifests.flatMap((manifest) => getDiffIds(this.#store, manifest)))
    let size = 0
    for (const diffId of diffIds) size += this.#layers.get(diffId) ?? 0
    return size
  }
}
