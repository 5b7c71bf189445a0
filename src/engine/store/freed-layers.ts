import { blobsBelow } from '../../content/graph.ts'
import { listLayerForms } from '../../content/layer-records.ts'
import { getDiffIds } from '../../content/manifest-records.ts'
import { findSnapshot } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { chainIds } from '../../oci/config.ts'
import type { Digest } from '../../oci/digest.ts'

/** A layer, by what it holds and by where it stands. */
interface StackedLayer {
  readonly diffId: Digest
  /** Digest of the layer and all below it, by which docker names layers that it deletes. */
  readonly chainId: Digest
}

/**
 * The layers of images that were removed, to be asked after a garbage collection which of them went. To be made before,
 * while the store still knows what the manifests and indexes `targets` hold.
 */
export class FreedLayers {
  readonly #store: Store
  readonly #layers: readonly StackedLayer[]

  constructor(store: Store, targets: readonly Digest[]) {
    this.#store = store
    const manifests = new Set(targets.flatMap((target) => blobsBelow(store, target)))
    this.#layers = [...manifests].flatMap((manifest) => stack(getDiffIds(store, manifest)).toReversed())
  }

  /** Chain IDs of the layers that are gone in every form, the topmost first. */
  chainIds(): Digest[] {
    const gone = this.#layers.filter(({ diffId }) => !isHeld(this.#store, diffId))
    return [...new Set(gone.map(({ chainId }) => chainId))]
  }
}

function stack(diffIds: readonly Digest[]): StackedLayer[] {
  const chain = chainIds(diffIds)
  return diffIds.flatMap((diffId, index) => {
    const chainId = chain[index]
    return chainId === undefined ? [] : [{ diffId, chainId }]
  })
}

function isHeld(store: Store, diffId: Digest): boolean {
  return listLayerForms(store, diffId).length > 0 || findSnapshot(store, diffId) !== undefined
}
