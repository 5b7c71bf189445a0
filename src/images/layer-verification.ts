import { getLayerRecord, type LayerRecord, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { ImageLayer } from './image.ts'
import { isRecordedStack } from '../content/manifest-records.ts'
import { type KnowsStack, LayerStack } from './layer-stack.ts'

/** Knows the stacks of the store's images, which were checked when they came in. */
export function storedStacks(store: Store): KnowsStack {
  return (layers) =>
    isRecordedStack(
      store,
      layers.map(({ descriptor, diffId }) => ({ digest: descriptor.digest, diffId })),
    )
}

/**
 * Makes sure that layer blobs of the store, base first, unpack to their diff IDs and may be stacked as one image, and
 * records them. A blob is read only if it is not yet known. Throws BLOB_UNKNOWN where one is missing, BLOB_CORRUPT where
 * its size or diff ID is another, and as {@link LayerStack}; none of them is recorded then. `knowsStack` is told of
 * layers that are known one by one.
 */
export async function verifyLayers(
  store: Store,
  lease: Lease,
  layers: readonly ImageLayer[],
  knowsStack: KnowsStack = storedStacks(store),
): Promise<void> {
  const stack = new LayerStack(store.limits, knowsStack)
  const records: LayerRecord[] = []
  for (const layer of layers) {
    const { descriptor, diffId } = layer
    const { digest } = descriptor
    if (!lease.claim(digest)) throw new CairnError('BLOB_UNKNOWN', `layer ${digest} is not in the store`)
    const size = store.blobs.size(digest)
    if (size !== descriptor.size)
      throw new CairnError(
        'BLOB_CORRUPT',
        `layer ${digest} has ${size} bytes, but its manifest says ${descriptor.size}`,
      )
    const known = getLayerRecord(store, digest)
    const open = () => store.blobs.open(digest)
    if (known === undefined) records.push(await stack.examine(layer, open))
    else if (known.diffId === diffId) stack.addKnown(layer, known, open)
    else
      throw new CairnError(
        'BLOB_CORRUPT',
        `layer ${digest} unpacks to ${known.diffId}, but its image config says ${diffId}`,
      )
  }
  await stack.finish()
  for (const record of records) putLayerRecord(store, record)
}
