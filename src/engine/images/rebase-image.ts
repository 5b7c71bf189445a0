import { withLease } from '../../content/leased-work.ts'
import { getLayerRecord } from '../../content/layer-records.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { chooseManifest } from '../../images/copy-image.ts'
import { hasFullHistory, splitHistory, withLayers } from '../../images/edit-layers.ts'
import type { ImageLayer } from '../../images/image.ts'
import { imageOf, type ImageSource, storeSource } from '../../images/image-source.ts'
import { LayerStack } from '../../images/layer-stack.ts'
import { storedStacks } from '../../images/layer-verification.ts'
import { bringImage, rewriteImage, type Rewritten, type RewrittenImage } from '../../images/rewrite-image.ts'
import type { ImageConfig } from '../../oci/config.ts'
import type { Digest } from '../../oci/digest.ts'
import { rebaseConfig } from '../../oci/edit-config.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { formatReference, parseReference } from '../../oci/reference.ts'
import { namesFor } from './edit-image.ts'

/** Annotations by which an image says what it was made from (image-spec annotations.md). */
const baseAnnotations = {
  name: 'org.opencontainers.image.base.name',
  digest: 'org.opencontainers.image.base.digest',
} as const

interface BaseImage {
  readonly manifest: Digest
  readonly config: ImageConfig
  readonly layers: readonly ImageLayer[]
}

/** The two bases, as users write them. */
export interface Bases {
  readonly from: string
  readonly onto: string
}

/**
 * Puts the layers that the image at `location` has on top of the base `from` on top of the base `onto`, on every
 * platform, and gives the result the names `tags`, else the image's own. Settings that the image did not change are the
 * new base's. Nothing is built or run. Throws IMAGE_UNRELATED where an image does not begin with the layers of `from`,
 * IMAGE_PLATFORM where a base lacks a platform, and as bringImage and rewriteImage.
 */
export async function rebaseImage(
  store: Store,
  location: string,
  tags: readonly string[],
  bases: Bases,
): Promise<Rewritten> {
  recover(store)
  return await withLease(store, async (lease) => {
    const { target, reference } = await bringImage(store, lease, location)
    const names = namesFor(tags, reference, location)
    const [from, onto] = [await bringImage(store, lease, bases.from), await bringImage(store, lease, bases.onto)]
    return await rewriteImage(store, target, names, async (image, platform) => {
      const oldBase = await baseFor(storeSource(store, from.target, bases.from), platform)
      const newBase = await baseFor(storeSource(store, onto.target, bases.onto), platform)
      refuseUnrelated(image, oldBase, location, bases.from, platform)
      await checkFit(store, newBase, image.layers.slice(oldBase.layers.length))
      return rebase(
        image,
        oldBase,
        newBase,
        onto.reference === undefined ? bases.onto : formatReference(onto.reference),
      )
    })
  })
}

async function baseFor(source: ImageSource, platform: Platform): Promise<BaseImage> {
  const manifest = await chooseManifest(source, platform)
  const image = imageOf(source, manifest)
  return { manifest: manifest.digest, config: (await image.config()).value, layers: await image.layers() }
}

function refuseUnrelated(image: RewrittenImage, base: BaseImage, name: string, from: string, platform: Platform): void {
  const place = base.layers.findIndex(({ diffId }, index) => image.layers[index]?.diffId !== diffId)
  if (place < 0) return
  const claimed = image.annotations[baseAnnotations.name]
  throw new CairnError(
    'IMAGE_UNRELATED',
    `${name} (${formatPlatform(platform)}) is not built on ${from}: its layer ${place + 1} is ` +
      `${image.layers[place]?.diffId ?? 'missing'}, not ${base.layers[place]?.diffId}`,
    claimed === undefined ? {} : { hint: `It says of itself that it is built on ${claimed}.` },
  )
}

/** Checks what the image's own layers demand of those below them anew: of the old base it was known. */
async function checkFit(store: Store, { layers }: BaseImage, own: readonly ImageLayer[]): Promise<void> {
  const stack = new LayerStack({ ...store.limits, absolutePaths: 'allow' }, storedStacks(store))
  const open = ({ descriptor }: ImageLayer) => store.blobs.open(descriptor.digest)
  for (const layer of layers) {
    const record = getLayerRecord(store, layer.descriptor.digest)
    if (record === undefined) await stack.examine(layer, () => open(layer))
    else stack.addKnown(layer, record, () => open(layer))
  }
  for (const layer of own) await stack.examine(layer, () => open(layer))
  await stack.finish()
}

function rebase(image: RewrittenImage, oldBase: BaseImage, newBase: BaseImage, newName: string): RewrittenImage {
  const own = image.layers.slice(oldBase.layers.length)
  const isTold = hasFullHistory(image) && hasFullHistory(newBase)
  const config = rebaseConfig(image.config.config ?? {}, oldBase.config.config ?? {}, newBase.config.config ?? {})
  return {
    ...withLayers(image, [...newBase.layers, ...own], {
      config,
      ...(isTold ? { history: [...(newBase.config.history ?? []), ...ownHistory(image, oldBase)] } : {}),
    }),
    annotations: rebaseAnnotations(image.annotations, newBase, newName),
  }
}

/** What the image's history says after that of its base. */
function ownHistory({ config }: RewrittenImage, base: BaseImage) {
  const { history = [] } = config
  const { history: before = [] } = base.config
  const begins = before.every((entry, index) => Bun.deepEquals(entry, history[index]))
  return begins ? history.slice(before.length) : splitHistory(history, base.layers.length)[1]
}

/** An image that tells its base goes on telling it. */
function rebaseAnnotations(
  annotations: Readonly<Record<string, string>>,
  { manifest }: BaseImage,
  newName: string,
): Readonly<Record<string, string>> {
  const { name, digest } = baseAnnotations
  return {
    ...annotations,
    ...(annotations[digest] === undefined ? {} : { [digest]: manifest }),
    ...(annotations[name] === undefined ? {} : { [name]: normalName(newName) }),
  }
}

function normalName(text: string): string {
  try {
    return formatReference(parseReference(text))
  } catch {
    return text
  }
}
