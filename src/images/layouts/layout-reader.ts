import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { parseImageConfig, platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts'
import { isAttestation, parseImageDocument, parseIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { checkLayoutMarker, layoutAnnotations, layoutBlobPath, layoutPaths } from '../../oci/layout.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression } from '../../oci/media-types.ts'
import { formatPlatform, type Platform, selectPlatform } from '../../oci/platform.ts'
import { formatReference, parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { collect } from '../../streams/source.ts'
import type { ArchiveFiles } from '../archives/archive-files.ts'
import { dockerManifestPath, parseDockerManifest } from '../archives/docker-archive.ts'
import { isImageConfigType, pairLayers } from '../image.ts'
import { verifyLayers } from '../layer-verification.ts'
import { preferredEntry } from '../records/put-image.ts'
import { suitsPlatform } from '../records/resolve-image.ts'
import type { VerifiedImage } from '../verified-image.ts'

interface LoadedManifest {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
}

/** Indexes within indexes are followed this deep. */
const deepestIndex = 4

/** Reads an archive that is an OCI image layout, bringing its blobs into the store (image-spec image-layout.md). */
export class LayoutReader {
  readonly #store: Store
  readonly #lease: Lease
  readonly #archive: ArchiveFiles
  readonly #platform: Platform | undefined
  readonly #manifests = new Map<Digest, LoadedManifest>()
  #isPartial = false

  constructor(store: Store, lease: Lease, archive: ArchiveFiles, platform: Platform | undefined) {
    this.#store = store
    this.#lease = lease
    this.#archive = archive
    this.#platform = platform
  }

  /** The images of `index.json`, entries for the same one taken together. */
  async read(): Promise<readonly VerifiedImage[]> {
    const images = new Map<Digest, VerifiedImage>()
    for (const entry of await this.#entries()) {
      const known = images.get(entry.digest) ?? (await this.#wantedImage(entry))
      if (known === undefined) continue
      const references = unique([...known.references, ...nameOf(entry)])
      images.set(entry.digest, { ...known, references })
    }
    if (images.size === 0 && this.#platform !== undefined) throw absentPlatform(this.#platform)
    return await this.#withDockerNames([...images.values()])
  }

  /** The one image that `choose` takes among the entries of `index.json`; its names are left out. */
  async readOne(choose: (entries: readonly Descriptor[]) => Descriptor): Promise<VerifiedImage> {
    return await this.#image(choose(await this.#entries()))
  }

  async #entries(): Promise<readonly Descriptor[]> {
    checkLayoutMarker(await this.#document(layoutPaths.marker))
    return parseIndex(await this.#document(layoutPaths.index)).value.manifests
  }

  /** The image, unless it is of one platform and that is not the wanted one: nothing of it comes in then. */
  async #wantedImage(entry: Descriptor): Promise<VerifiedImage | undefined> {
    const { digest, mediaType } = entry
    if (this.#platform === undefined || isIndexType(mediaType)) return await this.#image(entry)
    const document = parseImageDocument(await this.#blobBytes(entry), mediaType)
    if (document.type !== 'manifest') throw invalid(`blob ${digest} is no manifest`)
    const { config } = document.value
    if (isImageConfigType(config.mediaType)) {
      const platform = platformOf(parseImageConfig(await this.#blobBytes(config)).value)
      if (suitsPlatform(this.#platform, platform)) return await this.#image(entry)
    }
    this.#isPartial = true
    return undefined
  }

  async #image(entry: Descriptor): Promise<VerifiedImage> {
    const { annotations: _names, ...target } = entry
    const manifests = isIndexType(entry.mediaType) ? await this.#index(entry, 0) : [await this.#manifest(entry)]
    const preferred = preferredEntry(manifests.map(({ descriptor }) => descriptor))
    const chosen = manifests.find(({ descriptor }) => descriptor === preferred)
    if (chosen === undefined) throw this.#nothingHere(entry)
    const { config } = chosen.manifest
    const imageId = isImageConfigType(config.mediaType) ? config.digest : entry.digest
    return { target, imageId, manifests, isIndex: isIndexType(entry.mediaType), references: [] }
  }

  /** The manifests of an index that are in the archive, which need not be all. */
  async #index(entry: Descriptor, depth: number): Promise<LoadedManifest[]> {
    if (depth > deepestIndex) throw invalid(`has indexes nested more than ${deepestIndex} deep`)
    const bytes = await this.#blobBytes(entry)
    const document = parseImageDocument(bytes, entry.mediaType)
    if (document.type !== 'index') throw invalid(`blob ${entry.digest} is no index`)
    await this.#storeBlob(entry)
    const loaded: LoadedManifest[] = []
    for (const child of this.#wanted(document.value.manifests)) {
      if (this.#archive.find(layoutBlobPath(child.digest)) === undefined) this.#isPartial = true
      else if (isIndexType(child.mediaType)) loaded.push(...(await this.#index(child, depth + 1)))
      else if (isManifestType(child.mediaType)) loaded.push(await this.#manifest(child))
      else await this.#storeBlob(child)
    }
    return loaded
  }

  #wanted(entries: readonly Descriptor[]): readonly Descriptor[] {
    if (this.#platform === undefined) return entries
    const images = entries.filter((entry) => !isAttestation(entry))
    const found =
      images[
        selectPlatform(
          this.#platform,
          images.map((entry) => entry.platform),
        )
      ]
    this.#isPartial = true
    return found === undefined ? [] : [found]
  }

  async #manifest(descriptor: Descriptor): Promise<LoadedManifest> {
    const known = this.#manifests.get(descriptor.digest)
    if (known !== undefined) return { ...known, descriptor }
    const document = parseImageDocument(await this.#blobBytes(descriptor), descriptor.mediaType)
    if (document.type !== 'manifest') throw invalid(`blob ${descriptor.digest} is no manifest`)
    const manifest = document.value
    if (isImageConfigType(manifest.config.mediaType)) await this.#imageBlobs(manifest)
    else for (const blob of [manifest.config, ...manifest.layers]) await this.#storeBlob(blob)
    await this.#storeBlob(descriptor)
    const { annotations: _names, ...plain } = descriptor
    const loaded = { descriptor: plain, manifest }
    this.#manifests.set(descriptor.digest, loaded)
    return loaded
  }

  async #imageBlobs(manifest: Manifest): Promise<void> {
    const { value: config } = parseImageConfig(await this.#blobBytes(manifest.config))
    await this.#storeBlob(manifest.config)
    const layers = pairLayers(manifest, config)
    for (const { descriptor } of layers) await this.#storeBlob(descriptor)
    // Layers of attestations and other artifacts are documents that unpack to nothing.
    const unpacking = layers.filter(({ descriptor }) => layerCompression(descriptor.mediaType) !== undefined)
    await verifyLayers(this.#store, this.#lease, unpacking)
  }

  /** The bytes of a small blob, verified. */
  async #blobBytes({ digest, size }: Descriptor): Promise<Uint8Array> {
    const bytes = await this.#document(layoutBlobPath(digest))
    const found = digestOf(bytes, digestAlgorithm(digest))
    if (found !== digest || bytes.length !== size)
      throw new CairnError(
        'BLOB_CORRUPT',
        `blob ${digest} (${size} bytes) is in the archive as ${found} (${bytes.length} bytes)`,
      )
    return bytes
  }

  async #storeBlob({ digest, size }: Descriptor): Promise<void> {
    const path = layoutBlobPath(digest)
    const file = this.#archive.find(path)
    // What the store has need not be in the archive: `docker save` leaves such blobs out on demand.
    if (file === undefined && this.#store.blobs.size(digest) === size && this.#lease.claim(digest)) return
    if (file === undefined) throw invalid(`lacks ${path}`)
    await file.store(this.#lease, { digest, size })
  }

  async #document(path: string): Promise<Uint8Array> {
    const file = this.#archive.find(path)
    if (file === undefined) throw invalid(`lacks ${path}`)
    return await collect(file.read(), largestDocument, path)
  }

  /**
   * What `manifest.json` beside the layout adds: names, where the layout has none. It must speak of the same images,
   * else readers of the one and of the other would load different things.
   */
  async #withDockerNames(images: readonly VerifiedImage[]): Promise<readonly VerifiedImage[]> {
    if (this.#archive.find(dockerManifestPath) === undefined) return images
    const entries = parseDockerManifest(await this.#document(dockerManifestPath))
    const configs = new Set([...this.#manifests.values()].map(({ manifest }) => manifest.config.digest))
    const names = new Map<Digest, Reference[]>()
    for (const { Config: path, RepoTags: tags } of entries) {
      const digest = digestOf(await this.#document(path))
      if (!configs.has(digest) && !this.#isPartial)
        throw invalid(`lists ${path} in manifest.json, an image that index.json does not lead to`)
      names.set(digest, [...(names.get(digest) ?? []), ...(tags ?? []).flatMap(parseArchiveName)])
    }
    if (images.some(({ references }) => references.length > 0)) return images
    return images.map((image) => ({ ...image, references: unique(names.get(image.imageId) ?? []) }))
  }

  #nothingHere(entry: Descriptor): CairnError {
    if (this.#platform === undefined) return invalid(`has none of the images of index ${entry.digest}`)
    return absentPlatform(this.#platform)
  }
}

/** The error for an archive that has no image of the platform asked for. */
export function absentPlatform(platform: Platform): CairnError {
  const wanted = formatPlatform(platform)
  return new CairnError('IMAGE_PLATFORM', `the archive does not provide the specified platform (${wanted})`)
}

/** The name that an entry of `index.json` gives its image. */
export function nameOf({ annotations }: Descriptor): readonly Reference[] {
  const whole = annotations?.[layoutAnnotations.imageName]
  if (whole !== undefined) return parseArchiveName(whole)
  // podman writes the whole reference here; docker and skopeo a mere tag, which names nothing.
  const name = annotations?.[layoutAnnotations.refName]
  return name !== undefined && /[/:]/.test(name) ? parseArchiveName(name) : []
}

/** A name in an archive; none where it is a digest, which is no name to give. Throws ARCHIVE_INVALID. */
export function parseArchiveName(text: string): readonly Reference[] {
  try {
    const reference = parseReference(text)
    return reference.digest === undefined ? [withDefaultTag(reference)] : []
  } catch (cause) {
    throw new CairnError('ARCHIVE_INVALID', `the archive names an image ${JSON.stringify(text)}`, { cause })
  }
}

function unique(references: readonly Reference[]): Reference[] {
  return [...new Map(references.map((reference) => [formatReference(reference), reference])).values()]
}

function invalid(message: string): CairnError {
  return new CairnError('ARCHIVE_INVALID', `the archive ${message}`)
}
