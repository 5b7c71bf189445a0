import { blobNode, link } from '../content/graph.ts'
import { acquireLease, type Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { type ImageConfig, parseImageConfig, platformOf, serializeConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { goJson } from '../oci/go-json.ts'
import { type ImageIndex, isAttestation, parseImageDocument, serializeIndex } from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { isIndexType, isManifestType } from '../oci/media-types.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'
import { copyImage } from './copy-image.ts'
import { type ImageLayer, isImageConfigType, pairLayers } from './image.ts'
import { isFileLocation, parseLocalLocation } from './image-location.ts'
import { openImageSource } from './image-source.ts'
import { verifyLayers } from './layer-verification.ts'
import { linkManifest, recordIndex, recordManifest } from './records/put-image.ts'
import { resolveProtected } from './records/resolve-image.ts'
import { storeTarget } from './store-target.ts'

/** The image of one platform, to be made another one. */
export interface RewrittenImage {
  readonly config: ImageConfig
  /** Base first, as many as the config has diff IDs. */
  readonly layers: readonly ImageLayer[]
  /** Of the manifest. */
  readonly annotations: Readonly<Record<string, string>>
}

/** Makes another image of one; its layers are blobs of the store that `lease` protects. */
export type Rewrite = (image: RewrittenImage, platform: Platform, lease: Lease) => Promise<RewrittenImage>

/** An image of the store that is worked on. */
export interface StoredTarget {
  readonly target: Descriptor
  /** The name it was found by. */
  readonly reference: Reference | undefined
}

/** What came of a rewrite. */
export interface Rewritten {
  readonly target: Descriptor
  /** Platforms whose image is another now, as docker writes them. */
  readonly platforms: readonly string[]
  /** Attestations that are left out as they speak of images that are others now. */
  readonly droppedAttestations: number
}

/**
 * The image that `location` means; one from elsewhere is brought into the store, verified, for as long as `lease` lives.
 * Throws as resolveImage, openImageSource and copyImage.
 */
export async function bringImage(store: Store, lease: Lease, location: string): Promise<StoredTarget> {
  const place = parseLocalLocation(location)
  if (!isFileLocation(place)) {
    const { record, reference } = resolveProtected(store, lease, place.name)
    const { digest, mediaType, size } = record
    return { target: { digest, mediaType, size }, reference: reference?.digest === undefined ? reference : undefined }
  }
  using source = await openImageSource(store, place)
  using target = storeTarget(store, lease, [])
  return { target: (await copyImage(store, source, target)).target, reference: undefined }
}

/**
 * Makes a new image by rewriting that of every platform, and records it under `names`. What does not change keeps its
 * bytes; fields that Cairn does not know stay. `check` is asked once all are made. Throws what these throw and as verifyLayers; BLOB_UNKNOWN where an
 * index names an image that is not in the store.
 */
export async function rewriteImage(
  store: Store,
  target: Descriptor,
  names: readonly Reference[],
  rewrite: Rewrite,
  check: () => void = () => {},
): Promise<Rewritten> {
  using lease = acquireLease(store)
  const rewriter = new ImageRewriter(store, lease, rewrite)
  const made = await rewriter.document(target)
  check()
  store.database.transaction(() => {
    for (const { descriptor, manifest } of rewriter.manifests) linkManifest(store, descriptor.digest, manifest)
    const [first] = rewriter.manifests
    if (isIndexType(made.mediaType)) recordIndex(store, made, rewriter.childrenOf(made), names)
    else if (first !== undefined) recordManifest(store, made, first.manifest, names)
  })
  return { target: made, platforms: rewriter.platforms, droppedAttestations: rewriter.droppedAttestations }
}

/** As {@link rewriteImage}, but what is made is not recorded: `lease` keeps it. */
export async function rewrittenImage(
  store: Store,
  lease: Lease,
  target: Descriptor,
  rewrite: Rewrite,
): Promise<Descriptor> {
  return await new ImageRewriter(store, lease, rewrite).document(target)
}

class ImageRewriter {
  readonly manifests: { readonly descriptor: Descriptor; readonly manifest: Manifest }[] = []
  readonly platforms: string[] = []
  droppedAttestations = 0
  readonly #store: Store
  readonly #lease: Lease
  readonly #rewrite: Rewrite
  readonly #children = new Map<string, readonly Descriptor[]>()

  constructor(store: Store, lease: Lease, rewrite: Rewrite) {
    this.#store = store
    this.#lease = lease
    this.#rewrite = rewrite
  }

  /** The entries of an index that was written. */
  childrenOf(index: Descriptor): readonly Descriptor[] {
    return this.#children.get(index.digest) ?? []
  }

  async document(descriptor: Descriptor): Promise<Descriptor> {
    if (!this.#lease.claim(descriptor.digest))
      throw new CairnError('BLOB_UNKNOWN', `${descriptor.digest}${platformText(descriptor)} is not in the store`, {
        hint: 'All platforms of an image are worked on; copy one out with image copy --platform to have it alone.',
      })
    const bytes = this.#store.blobs.readAll(descriptor.digest, largestDocument)
    const document = parseImageDocument(bytes, descriptor.mediaType)
    return document.type === 'index'
      ? await this.#index(descriptor, document.value)
      : await this.#manifest(descriptor, document.value)
  }

  async #index(descriptor: Descriptor, index: ImageIndex): Promise<Descriptor> {
    const entries: Descriptor[] = []
    const changed = new Set<string>()
    for (const entry of index.manifests) {
      const isImage = !isAttestation(entry) && (isManifestType(entry.mediaType) || isIndexType(entry.mediaType))
      const made = isImage ? await this.document(entry) : entry
      if (made.digest !== entry.digest) changed.add(entry.digest)
      entries.push(made)
    }
    const kept = entries.filter((entry) => !changed.has(entry.annotations?.['vnd.docker.reference.digest'] ?? ''))
    this.droppedAttestations += entries.length - kept.length
    for (const { digest } of kept) this.#lease.claim(digest)
    const made =
      changed.size === 0 ? descriptor : await this.#put(descriptor, serializeIndex({ ...index, manifests: kept }))
    link(
      this.#store,
      blobNode(made.digest),
      kept.map(({ digest }) => blobNode(digest)),
    )
    this.#children.set(
      made.digest,
      kept.filter(({ digest }) => this.#store.blobs.has(digest)),
    )
    return made
  }

  async #manifest(descriptor: Descriptor, manifest: Manifest): Promise<Descriptor> {
    if (!isImageConfigType(manifest.config.mediaType)) {
      this.manifests.push({ descriptor, manifest })
      return descriptor
    }
    const { value: config } = parseImageConfig(this.#store.blobs.readAll(manifest.config.digest, largestDocument))
    const image: RewrittenImage = {
      config,
      layers: pairLayers(manifest, config),
      annotations: manifest.annotations ?? {},
    }
    const result = await this.#rewrite(image, platformOf(config), this.#lease)
    const made = await this.#written(descriptor, manifest, image, result)
    if (made.descriptor.digest !== descriptor.digest) this.platforms.push(formatPlatform(platformOf(result.config)))
    this.manifests.push(made)
    return made.descriptor
  }

  async #written(
    descriptor: Descriptor,
    manifest: Manifest,
    before: RewrittenImage,
    after: RewrittenImage,
  ): Promise<{ readonly descriptor: Descriptor; readonly manifest: Manifest }> {
    await verifyLayers(this.#store, this.#lease, after.layers)
    // Another tool may have written the same config in other bytes, which stay where nothing is to be said anew.
    const isSame = goJson(before.config) === goJson(after.config)
    const config = isSame ? manifest.config : await this.#put(manifest.config, serializeConfig(after.config))
    this.#lease.claim(config.digest)
    const { annotations: _old, ...rest } = manifest
    const made: Manifest = {
      ...rest,
      config,
      layers: after.layers.map((layer) => layer.descriptor),
      ...(Object.keys(after.annotations).length === 0 ? {} : { annotations: after.annotations }),
    }
    if (goJson(made) === goJson({ ...manifest, annotations: manifest.annotations })) return { descriptor, manifest }
    return { descriptor: await this.#put(descriptor, serializeManifest(made)), manifest: made }
  }

  /** A document in place of another: what the descriptor says besides stays. */
  async #put({ data: _data, ...descriptor }: Descriptor, bytes: Uint8Array): Promise<Descriptor> {
    return { ...descriptor, ...(await this.#lease.put(bytes)) }
  }
}

function platformText({ platform }: Descriptor): string {
  return platform === undefined ? '' : ` (${formatPlatform(platform)})`
}
