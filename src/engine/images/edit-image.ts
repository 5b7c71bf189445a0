import { decompress } from '../../compression/decompress.ts'
import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { appendLayer, dropLayers, layerPlace } from '../../images/edit-layers.ts'
import type { ImageLayer } from '../../images/image.ts'
import {
  bringImage,
  type Rewrite,
  rewriteImage,
  type Rewritten,
  type RewrittenImage,
} from '../../images/rewrite-image.ts'
import { type ConfigEdits, editConfig } from '../../oci/edit-config.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { applyChanges } from './image-changes.ts'

/** A layer to be added. */
export interface AppendedLayer {
  /** Names it in errors and the history. */
  readonly name: string
  readonly source: ByteSource
}

export interface ImageEdits extends ConfigEdits {
  /** Dockerfile instructions for the config, before the other edits of it. */
  readonly changes: readonly string[]
  /** Annotations of every manifest. */
  readonly annotations: ReadonlyMap<string, string>
  readonly withoutAnnotations: readonly string[]
  /** Numbers or digests of layers, as they are before others are added. */
  readonly dropLayers: readonly string[]
  readonly appendLayers: readonly AppendedLayer[]
}

/**
 * Changes settings, annotations and layers of the image that `location` means, on every platform, and gives the result
 * the names `tags`; without any, the name the image was found by. The same image and edits give the same digest: times
 * stay as they are unless `created` says otherwise. Throws as bringImage and rewriteImage, USAGE for an edit that is
 * wrong, and what reading a layer throws.
 */
export async function editImage(
  store: Store,
  location: string,
  tags: readonly string[],
  edits: ImageEdits,
): Promise<Rewritten> {
  recover(store)
  return await withLease(store, async (lease) => {
    const { target, reference } = await bringImage(store, lease, location)
    const names = namesFor(tags, reference, location)
    const added: { readonly name: string; readonly layer: ImageLayer }[] = []
    for (const { name, source } of edits.appendLayers)
      added.push({ name, layer: await storeLayer(store, lease, name, source) })
    const unused = new Set(edits.dropLayers)
    const rewrite: Rewrite = async (image, platform, own) => {
      const places = new Set(edits.dropLayers.flatMap((text) => placeOf(image, text, unused)))
      let edited = dropLayers(image, places)
      for (const { name, layer } of added) {
        own.claim(layer.descriptor.digest)
        const created = edits.created ?? image.config.created
        const time = created === undefined ? {} : { created }
        edited = appendLayer(edited, layer, { ...time, created_by: `cairn image edit --append-layer ${name}` })
      }
      const changed =
        edits.changes.length === 0
          ? edited.config
          : { ...edited.config, config: applyChanges(edited.config.config ?? {}, edits.changes, platform) }
      return {
        ...edited,
        config: editConfig(changed, edits),
        annotations: Object.fromEntries([
          ...Object.entries(image.annotations).filter(([key]) => !edits.withoutAnnotations.includes(key)),
          ...edits.annotations,
        ]),
      }
    }
    return await rewriteImage(store, target, names, rewrite, () => {
      const [unknown] = unused
      if (unknown !== undefined) throw usageError(`the image has no layer ${unknown}`)
    })
  })
}

/** The names the result gets. Throws USAGE where there would be none. */
export function namesFor(tags: readonly string[], own: Reference | undefined, location: string): readonly Reference[] {
  const names = tags.map(parseReference)
  for (const [index, { digest }] of names.entries())
    if (digest !== undefined)
      throw new CairnError('REFERENCE_INVALID', `${tags[index]}: an image cannot be given a digest as its name`)
  if (names.length > 0) return names
  if (own !== undefined) return [own]
  throw usageError(`${location} is no name that the result could have`, { hint: 'Give it one with --tag.' })
}

function placeOf(image: RewrittenImage, text: string, unused: Set<string>): number[] {
  const place = layerPlace(image, text)
  if (place === undefined) {
    // A digest may be that of another platform's layer; a number is meant for each of them.
    if (/^-?\d{1,4}$/.test(text)) throw usageError(`there is no layer ${text}: the image has ${image.layers.length}`)
    return []
  }
  unused.delete(text)
  return [place]
}

/** Stores a layer as a tar, whatever it comes compressed with; it is checked when the image is written. */
async function storeLayer(store: Store, lease: Lease, name: string, source: ByteSource): Promise<ImageLayer> {
  const { layerBytes: maxBytes, ratio: maxRatio } = store.limits
  const ingest = lease.ingest()
  try {
    for await (const bytes of decompress(source, { name, maxBytes, maxRatio })) ingest.write(bytes)
    if (ingest.size === 0) throw new CairnError('TAR_INVALID', `${name} is empty: there is no archive in it`)
    const blob = await ingest.commit()
    return { descriptor: { mediaType: mediaTypes.ociLayerTar, ...blob }, diffId: blob.digest }
  } finally {
    ingest.abort()
  }
}
