import { usageError } from '../errors/error.ts'
import type { History, ImageConfig } from '../oci/config.ts'
import type { ImageLayer } from './image.ts'
import type { RewrittenImage } from './rewrite-image.ts'

/** The image with one more layer on top, and the history entry that speaks of it. */
export function appendLayer(image: RewrittenImage, layer: ImageLayer, entry: History): RewrittenImage {
  const history = hasFullHistory(image) ? { history: [...(image.config.history ?? []), entry] } : {}
  return withLayers(image, [...image.layers, layer], history)
}

/**
 * The image without the layers at these places (0 is the base), each with its entry in the history. Where the history
 * does not speak of every layer it stays as it is.
 */
export function dropLayers(image: RewrittenImage, dropped: ReadonlySet<number>): RewrittenImage {
  if (dropped.size === 0) return image
  let layer = 0
  const history = (image.config.history ?? []).filter(
    ({ empty_layer: isEmpty }) => isEmpty === true || !dropped.has(layer++),
  )
  const kept = image.layers.filter((_, index) => !dropped.has(index))
  return withLayers(image, kept, hasFullHistory(image) ? { history } : {})
}

/**
 * The place of the layer that `text` means: its number from 1 for the base, from -1 for the topmost, or the beginning of
 * its digest or diff ID. Undefined where the image has none. Throws USAGE for what can be neither.
 */
export function layerPlace({ layers }: RewrittenImage, text: string): number | undefined {
  if (/^-?\d{1,4}$/.test(text)) {
    const number = Number(text)
    const place = number < 0 ? layers.length + number : number - 1
    return layers[place] === undefined ? undefined : place
  }
  const prefix = text.includes(':') ? text : `sha256:${text}`
  if (!/^sha(?:256:[0-9a-f]{6,64}|512:[0-9a-f]{6,128})$/.test(prefix))
    throw usageError(`invalid layer ${JSON.stringify(text)}: give its number or its digest`)
  const found = layers.flatMap(({ descriptor, diffId }, index) =>
    descriptor.digest.startsWith(prefix) || diffId.startsWith(prefix) ? [index] : [],
  )
  if (found.length > 1) throw usageError(`${found.length} layers begin with ${text}`)
  return found[0]
}

/** The history of `count` layers from the base up, and what follows them. */
export function splitHistory(history: readonly History[], count: number): readonly [History[], History[]] {
  let layers = 0
  const end = history.findIndex(({ empty_layer: isEmpty }) => isEmpty !== true && layers++ === count)
  return end < 0 ? [[...history], []] : [history.slice(0, end), history.slice(end)]
}

/** True when the history has an entry for each layer, as the specification demands it. */
export function hasFullHistory({ config, layers }: Pick<RewrittenImage, 'config' | 'layers'>): boolean {
  const { history = [] } = config
  return history.filter(({ empty_layer: isEmpty }) => isEmpty !== true).length === layers.length
}

/** The image with these layers and what else changes of its config. */
export function withLayers(
  image: RewrittenImage,
  layers: readonly ImageLayer[],
  config: Partial<ImageConfig>,
): RewrittenImage {
  const rootfs = { ...image.config.rootfs, diff_ids: layers.map(({ diffId }) => diffId) }
  return { ...image, layers, config: { ...image.config, ...config, rootfs } }
}
