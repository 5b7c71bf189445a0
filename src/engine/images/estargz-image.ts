import type { Store } from '../../content/store.ts'
import { type RewrittenImage, rewrittenImage } from '../../images/rewrite-image.ts'
import { withLayers } from '../../images/edit-layers.ts'
import type { ImageLayer } from '../../images/image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { layerCompression, mediaTypes } from '../../oci/media-types.ts'
import { formLayer, type FormingOptions } from '../../outputs/formed-layer.ts'

/**
 * The image with its uncompressed layers as eStargz, on every platform; held by the lease, without a name. It is another
 * image, as such layers have other diff IDs. Throws as rewriteImage and formLayer.
 */
export async function estargzImage(
  store: Store,
  image: Descriptor,
  level: number | undefined,
  options: FormingOptions,
): Promise<Descriptor> {
  return await rewrittenImage(store, options.lease, image, (one) => withEstargzLayers(one, level, options))
}

async function withEstargzLayers(
  image: RewrittenImage,
  level: number | undefined,
  options: FormingOptions,
): Promise<RewrittenImage> {
  const layers: ImageLayer[] = []
  for (const layer of image.layers) {
    const isPlain = layerCompression(layer.descriptor.mediaType) === 'none'
    layers.push(isPlain ? await estargzLayerOf(layer, level, options) : layer)
  }
  return withLayers(image, layers, {})
}

async function estargzLayerOf(
  { descriptor, diffId }: ImageLayer,
  level: number | undefined,
  options: FormingOptions,
): Promise<ImageLayer> {
  const made = await formLayer(diffId, { compression: 'estargz', level }, options)
  const isDockers = descriptor.mediaType === mediaTypes.dockerLayerTar
  const annotations = { ...descriptor.annotations, ...made.annotations }
  return {
    diffId: made.diffId,
    descriptor: {
      mediaType: isDockers ? mediaTypes.dockerLayerGzip : mediaTypes.ociLayerGzip,
      digest: made.digest,
      size: made.size,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
  }
}
