import { CairnError } from '../../errors/error.ts'
import { blobNode, link } from '../../content/graph.ts'
import { putImageRecord, putTag } from '../../content/image-records.ts'
import { acquireLease, type Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { type ImageConfig, parseImageConfig, platformOf, serializeConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { isAttestation, serializeIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { type Manifest, parseManifest, serializeManifest } from '../../oci/manifest.ts'
import { isManifestType, mediaTypes } from '../../oci/media-types.ts'
import { hostPlatform, type Platform, selectPlatform } from '../../oci/platform.ts'
import { familiarString, formatReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { isImageConfigType, pairLayers } from '../image.ts'
import { type EventImage, type ImageArrival, recordImageEvent, recordTransferEvent } from './image-events.ts'
import { recordManifestFacts } from './manifest-facts.ts'

/** An image to be recorded. */
export interface NewImage {
  /** The config, or its bytes where they are to stay as they are. */
  readonly config: ImageConfig | Uint8Array
  /** Layer blobs of the store, base first, as many as the config has diff IDs. */
  readonly layers: readonly Descriptor[]
  readonly annotations?: Readonly<Record<string, string>>
  /** Names it gets; one without tag or digest gets `latest`. */
  readonly tags?: readonly Reference[]
  /** Only written, not listed: it becomes part of an index that is put under the same lease. */
  readonly isPart?: boolean
  /** What events say of it; `create` by default. */
  readonly arrival?: ImageArrival
  /** Protects what is written until the caller releases it; without one the record alone protects it. */
  readonly lease?: Lease
}

/** An image that was recorded. */
export interface PutImage {
  readonly imageId: Digest
  /** The manifest or index, with the platform for a manifest. */
  readonly target: Descriptor
  /** Names that led elsewhere until now, with what they led to. */
  readonly moved: readonly { readonly name: string; readonly digest: Digest }[]
}

/**
 * Writes the config and manifest of an image that was made here and records it with its names, all at once. Throws MANIFEST_INVALID when
 * layers and diff IDs do not fit each other and BLOB_UNKNOWN for a layer that is not in the store.
 */
export async function putImage(store: Store, image: NewImage): Promise<PutImage> {
  using own = acquireLease(store)
  const lease = image.lease ?? own
  const raw = image.config instanceof Uint8Array ? image.config : serializeConfig(image.config)
  const config = parseImageConfig(raw).value
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...identity(raw) },
    layers: image.layers,
    ...(image.annotations === undefined ? {} : { annotations: image.annotations }),
  }
  // Layers that are known were put together here.
  const { verifyLayers } = await import('../layer-verification.ts')
  await verifyLayers(store, lease, pairLayers(manifest, config), () => true)
  const { digest: imageId } = await lease.put(raw)
  const bytes = serializeManifest(manifest)
  await lease.put(bytes)
  const target = { mediaType: mediaTypes.ociManifest, ...identity(bytes), platform: platformOf(config) }
  linkManifest(store, target.digest, manifest)
  const moved = image.isPart === true ? [] : recordManifest(store, target, manifest, image.tags ?? [], image.arrival)
  return { imageId, target, moved }
}

/** Lets a manifest keep its blobs, once it is kept itself, and records what lists tell of it. */
export function linkManifest(store: Store, digest: Digest, manifest: Manifest): void {
  link(
    store,
    blobNode(digest),
    [manifest.config, ...manifest.layers].map((blob) => blobNode(blob.digest)),
  )
  recordManifestFacts(store, digest, manifest)
}

/**
 * Records a manifest that is already in the store, with its names. Every blob it names must be there, verified, and
 * protected by the caller's lease.
 */
export function recordManifest(
  store: Store,
  target: Descriptor,
  manifest: Manifest,
  tags: readonly Reference[],
  arrival: ImageArrival = 'create',
): PutImage['moved'] {
  const record = { ...target, imageId: imageIdOf(target.digest, manifest) }
  return store.database.transaction(() => {
    linkManifest(store, target.digest, manifest)
    putImageRecord(store, record)
    return announce(store, record, tags, arrival)
  })
}

/** An index of images that are in the store. */
export interface NewIndex {
  readonly manifests: readonly Descriptor[]
  /** That of an OCI index by default. */
  readonly mediaType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly tags?: readonly Reference[]
  readonly lease?: Lease
}

/** Writes an index over recorded images and records it with its names. Throws BLOB_UNKNOWN where one is missing. */
export async function putIndex(store: Store, index: NewIndex): Promise<PutImage> {
  using own = acquireLease(store)
  const lease = index.lease ?? own
  for (const { digest } of index.manifests)
    if (!lease.claim(digest)) throw new CairnError('BLOB_UNKNOWN', `manifest ${digest} is not in the store`)
  const { mediaType = mediaTypes.ociIndex } = index
  const bytes = serializeIndex({
    schemaVersion: 2,
    mediaType,
    manifests: index.manifests,
    ...(index.annotations === undefined ? {} : { annotations: index.annotations }),
  })
  await lease.put(bytes)
  const target = { mediaType, ...identity(bytes) }
  const moved = recordIndex(store, target, index.manifests, index.tags ?? [])
  return { imageId: preferredImageId(store, target.digest, index.manifests), target, moved }
}

/**
 * Records an index that is already in the store, with its names. `children` are those of its entries that are in the
 * store too, protected by the caller's lease.
 */
export function recordIndex(
  store: Store,
  target: Descriptor,
  children: readonly Descriptor[],
  tags: readonly Reference[],
  arrival: ImageArrival = 'create',
): PutImage['moved'] {
  const imageId = preferredImageId(store, target.digest, children)
  return store.database.transaction(() => {
    link(
      store,
      blobNode(target.digest),
      children.map(({ digest }) => blobNode(digest)),
    )
    putImageRecord(store, { ...target, imageId })
    return announce(store, { digest: target.digest, imageId }, tags, arrival)
  })
}

/** The entry of an index that stands for it here: this machine's platform, else the first image. */
export function preferredEntry(entries: readonly Descriptor[], platform?: Platform): Descriptor | undefined {
  const images = entries.filter((entry) => !isAttestation(entry))
  const found = selectPlatform(
    platform ?? hostPlatform(),
    images.map((entry) => entry.platform),
  )
  return images[found] ?? (platform === undefined ? images[0] : undefined)
}

/** Names an image that was just recorded. The names that an archive gives its images are no events of their own. */
function announce(
  store: Store,
  image: EventImage,
  tags: readonly Reference[],
  arrival: ImageArrival,
): PutImage['moved'] {
  const moved = tags.map(withDefaultTag).flatMap((tag) => {
    const name = formatReference(tag)
    const before = putTag(store, name, image.digest)
    if (arrival === 'pull') recordTransferEvent(store, 'pull', image, tag)
    else if (arrival !== 'load') recordImageEvent(store, 'tag', image, familiarString(tag))
    return before === undefined || before === image.digest ? [] : [{ name, digest: before }]
  })
  if (arrival !== 'pull' || tags.length === 0) recordImageEvent(store, arrival, image)
  return moved
}

function imageIdOf(digest: Digest, manifest: Manifest): Digest {
  return isImageConfigType(manifest.config.mediaType) ? manifest.config.digest : digest
}

/** The image ID of an index that has `children` in the store. */
export function preferredImageId(store: Store, index: Digest, children: readonly Descriptor[]): Digest {
  const child = preferredEntry(children)
  if (child === undefined || !isManifestType(child.mediaType)) return index
  return imageIdOf(index, parseManifest(store.blobs.readAll(child.digest, largestDocument)).value)
}

function identity(bytes: Uint8Array): { readonly digest: Digest; readonly size: number } {
  return { digest: digestOf(bytes), size: bytes.length }
}
