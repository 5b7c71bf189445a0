import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import { putLayerRecord } from '../../content/layer-records.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { withLayers } from '../../images/edit-layers.ts'
import type { ImageLayer } from '../../images/image.ts'
import { ImageFiles } from '../../images/image-files.ts'
import { storeSource } from '../../images/image-source.ts'
import { bringImage, rewriteImage, type Rewritten } from '../../images/rewrite-image.ts'
import { stackTree } from '../../layers/trees/layer-tree.ts'
import type { LayerTree } from '../../layers/tree.ts'
import { packTree } from '../../layers/pack/pack-tree.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { namesFor } from './edit-image.ts'

/**
 * Makes one layer of all layers of the image that `location` means, on every platform: what they removed or replaced is
 * gone, hard links stay. Settings stay; the history becomes one entry. The same image gives the same digest. Throws as
 * bringImage, ImageFiles and rewriteImage.
 */
export async function flattenImage(store: Store, location: string, tags: readonly string[]): Promise<Rewritten> {
  recover(store)
  return await withLease(store, async (lease) => {
    const { target, reference } = await bringImage(store, lease, location)
    const names = namesFor(tags, reference, location)
    return await rewriteImage(store, target, names, async (image, _platform, own) => {
      if (image.layers.length < 2) return image
      const layer = await flatten(store, own, target, image.layers)
      const { created } = image.config
      const entry = { created_by: 'cairn image flatten', comment: `${image.layers.length} layers in one` }
      return withLayers(image, [layer], { history: [{ ...(created === undefined ? {} : { created }), ...entry }] })
    })
  })
}

async function flatten(
  store: Store,
  lease: Lease,
  target: Descriptor,
  layers: readonly ImageLayer[],
): Promise<ImageLayer> {
  using source = storeSource(store, target, target.digest)
  using files = new ImageFiles(store, source, { layers: async () => layers })
  const trees = await files.layerTrees()
  const path = store.session.temporaryPath('flat')
  const { diffId, size } = packTree(stackTree(trees), '/', path, { withRoot: describesRoot(trees) })
  const blob = await lease.adopt(path, { digest: diffId, size })
  putLayerRecord(store, { diffId, ...blob, compression: 'none', unpackedSize: size })
  return { descriptor: { mediaType: mediaTypes.ociLayerTar, ...blob }, diffId }
}

/** The root has an entry where a layer says what it is like. */
function describesRoot(trees: readonly LayerTree[]): boolean {
  return trees.some((tree) => !tree.isImplied('/'))
}
