import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { isAttestation } from '../oci/image-index.ts'
import { isIndexType, isManifestType, layerCompression } from '../oci/media-types.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { ByteSource } from '../streams/source.ts'
import { isImageConfigType, type ImageLayer } from './image.ts'
import { imageOf, type ImageSource, openBlob, readDocument } from './image-source.ts'
import type { CopiedBlob, CopiedImage, CopiedManifest, CopiedReferrer, ImageTarget } from './image-target.ts'
import { LayerStack } from './layer-stack.ts'
import { storedStacks } from './layer-verification.ts'
import { preferredEntry } from './records/put-image.ts'

export interface CopyOptions {
  /** Of an image for several platforms, copy only this one. */
  readonly platform?: Platform | undefined
  /** Also copies what refers to the image: signatures, attestations. */
  readonly withReferrers?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a copy did. */
export interface ImageCopy {
  /** The manifest or index that was copied. */
  readonly target: Descriptor
  /** How many manifests that refer to it went along. */
  readonly referrers: number
  /** Blobs written, and their bytes. */
  readonly written: { readonly blobs: number; readonly bytes: number }
}

/** Indexes within indexes are followed this deep. */
const deepestIndex = 4
/** Most manifests that refer to an image and go along. */
const mostReferrers = 10_000

/**
 * Copies an image with all its platforms and attestations. Documents and layers go over byte for byte, so digests stay,
 * unless the target has another form for them. All is read and verified before anything is written: digests, sizes,
 * media types, diff IDs, and that no layer leads out of the image. Throws what reading and checking throw, BLOB_UNKNOWN
 * where a part is missing, NOT_SUPPORTED where the target has no place for referrers that are asked for, and what the
 * target throws; the target is then as it was.
 */
export async function copyImage(
  store: Store,
  source: ImageSource,
  target: ImageTarget,
  options: CopyOptions = {},
): Promise<ImageCopy> {
  if (options.withReferrers === true && !target.holdsReferrers)
    throw new CairnError('NOT_SUPPORTED', 'there is no place for what refers to an image in such a file or directory', {
      hint: 'The store, registries, oci: and oci-archive: have one.',
    })
  const image = await readImage(store, source, { ...options, single: !target.holdsIndexes })
  const written = { blobs: 0, bytes: 0 }
  for (const blob of image.blobs) {
    if (await target.has(blob)) continue
    const isDocument = blob.role === 'manifest' || blob.role === 'index'
    const file = target.putFile === undefined || isDocument ? undefined : source.file?.(blob.descriptor.digest)
    if (file === undefined) await target.put(blob, interruptible(openBlob(source, blob.descriptor), options.signal))
    else target.putFile?.(blob, file)
    written.blobs++
    written.bytes += blob.descriptor.size
  }
  await target.commit(image)
  return { target: image.root, referrers: image.referrers?.length ?? 0, written }
}

/** Reads and verifies an image: what {@link copyImage} does before it writes. */
async function readImage(
  store: Store,
  source: ImageSource,
  options: CopyOptions & { readonly single: boolean },
): Promise<CopiedImage> {
  const reader = new ImageReader(store, source, options.signal)
  const root = await chooseRoot(source, options.platform, options.single)
  await reader.add(root, 0)
  const referrers = options.withReferrers === true ? await reader.addReferrers() : []
  return {
    root,
    manifests: reader.manifests,
    blobs: [...reader.blobs.values()],
    references: source.references,
    referrers,
  }
}

/** The manifest of one platform, or all there is. */
async function chooseRoot(source: ImageSource, platform: Platform | undefined, single: boolean): Promise<Descriptor> {
  const { target } = source
  if (platform === undefined && !single) return target
  return await chooseManifest(source, platform)
}

/**
 * The manifest a source has for `platform`; without one the best for this machine, else the first. Throws
 * IMAGE_PLATFORM naming those there are.
 */
export async function chooseManifest(source: ImageSource, platform: Platform | undefined): Promise<Descriptor> {
  const { target, name } = source
  const entries = isIndexType(target.mediaType) ? await imageEntries(source, target, 0) : [await withPlatform(source)]
  const found = preferredEntry(entries, platform)
  if (found !== undefined) {
    const { annotations: _names, ...plain } = found
    return plain
  }
  const wanted = platform === undefined ? 'any platform' : `the platform ${formatPlatform(platform)}`
  const present = entries.flatMap((entry) => (entry.platform === undefined ? [] : [formatPlatform(entry.platform)]))
  throw new CairnError('IMAGE_PLATFORM', `${name} does not provide ${wanted}`, {
    hint: `It has ${present.length === 0 ? 'none' : present.join(', ')}.`,
  })
}

/** The images of all platforms that an index leads to and the source has. */
export async function imageEntries(source: ImageSource, index: Descriptor, depth = 0): Promise<Descriptor[]> {
  if (depth > deepestIndex) throw tooDeep(source)
  const document = await readDocument(source, index)
  if (document.type !== 'index') return []
  const entries: Descriptor[] = []
  for (const entry of document.value.manifests) {
    if (isAttestation(entry) || source.size(entry.digest) === undefined) continue
    if (isIndexType(entry.mediaType)) entries.push(...(await imageEntries(source, entry, depth + 1)))
    else if (isManifestType(entry.mediaType)) entries.push(entry)
  }
  return entries
}

async function withPlatform(source: ImageSource): Promise<Descriptor> {
  const { target } = source
  const document = await readDocument(source, target)
  if (document.type !== 'manifest' || !isImageConfigType(document.value.config.mediaType)) return target
  const { os, architecture, variant } = (await imageOf(source, target).config()).value
  return { ...target, platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }
}

class ImageReader {
  readonly manifests: CopiedManifest[] = []
  readonly blobs = new Map<Digest, CopiedBlob>()
  readonly #store: Store
  readonly #source: ImageSource
  readonly #signal: AbortSignal | undefined

  constructor(store: Store, source: ImageSource, signal: AbortSignal | undefined) {
    this.#store = store
    this.#source = source
    this.#signal = signal
  }

  /** Adds a document and all it leads to, before it. */
  async add(descriptor: Descriptor, depth: number): Promise<void> {
    if (this.blobs.has(descriptor.digest)) return
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType))
      return this.#addBlob('other', descriptor)
    this.#require(descriptor)
    const document = await readDocument(this.#source, descriptor)
    if (document.type === 'manifest') {
      this.manifests.push({ descriptor, ...(await this.#addManifest(descriptor)) })
      return this.#addBlob('manifest', descriptor)
    }
    if (depth > deepestIndex) throw tooDeep(this.#source)
    for (const entry of document.value.manifests) await this.add(entry, depth + 1)
    this.#addBlob('index', descriptor)
  }

  /** Adds what refers to the documents so far, and what refers to that. */
  async addReferrers(): Promise<readonly CopiedReferrer[]> {
    const subjects = [...this.blobs.values()].filter(({ role }) => role === 'manifest' || role === 'index')
    const found: CopiedReferrer[] = []
    for (const { descriptor } of subjects)
      for (const referrer of (await this.#source.referrers?.(descriptor.digest)) ?? []) {
        if (this.blobs.has(referrer.digest)) continue
        this.#require(referrer)
        const document = await readDocument(this.#source, referrer)
        // Whoever lists it may be wrong.
        if (document.type !== 'manifest' || document.value.subject?.digest !== descriptor.digest) continue
        const { value: manifest } = document
        for (const blob of [manifest.config, ...manifest.layers]) this.#addBlob('other', blob)
        this.#addBlob('manifest', referrer)
        subjects.push({ descriptor: referrer, role: 'manifest' })
        found.push({ descriptor: referrer, manifest, subject: descriptor.digest })
        if (found.length > mostReferrers)
          throw new CairnError('LIMIT_EXCEEDED', `more than ${mostReferrers} manifests refer to ${this.#source.name}`)
      }
    return found
  }

  async #addManifest(descriptor: Descriptor): Promise<Omit<CopiedManifest, 'descriptor'>> {
    const image = imageOf(this.#source, descriptor)
    const { value: manifest } = await image.manifest()
    if (!isImageConfigType(manifest.config.mediaType)) {
      for (const blob of [manifest.config, ...manifest.layers]) this.#addBlob('other', blob)
      return { manifest, config: undefined }
    }
    this.#require(manifest.config)
    const { value: config } = await image.config()
    await this.#addLayers(await image.layers())
    this.#addBlob('config', manifest.config)
    return { manifest, config }
  }

  async #addLayers(layers: readonly ImageLayer[]): Promise<void> {
    const stack = new LayerStack(this.#store.limits, storedStacks(this.#store))
    for (const layer of layers) {
      const { descriptor, diffId } = layer
      // A layer that is to be fetched from elsewhere need not be here.
      if (this.#source.size(descriptor.digest) === undefined && (descriptor.urls?.length ?? 0) > 0) continue
      this.#require(descriptor)
      // Layers of attestations are documents.
      if (layerCompression(descriptor.mediaType) === undefined) {
        this.#addBlob('other', descriptor)
        continue
      }
      const open = (): ByteSource => interruptible(openBlob(this.#source, descriptor), this.#signal)
      const earlier = this.blobs.get(descriptor.digest)?.layer ?? this.#source.examined(descriptor.digest)
      const isKnown = earlier?.diffId === diffId
      if (isKnown) stack.addKnown(layer, earlier, open)
      const record = isKnown ? earlier : await stack.examine(layer, open)
      this.blobs.set(descriptor.digest, { descriptor, role: 'layer', layer: record })
    }
    await stack.finish()
  }

  #addBlob(role: CopiedBlob['role'], descriptor: Descriptor): void {
    this.#require(descriptor)
    if (!this.blobs.has(descriptor.digest)) this.blobs.set(descriptor.digest, { descriptor, role })
  }

  #require({ digest, size, platform }: Descriptor): void {
    const found = this.#source.size(digest)
    if (found === size) return
    const { name } = this.#source
    if (found !== undefined)
      throw new CairnError(
        'BLOB_CORRUPT',
        `${name}: blob ${digest} has ${found} bytes, but its descriptor says ${size}`,
      )
    const of = platform === undefined ? '' : ` (${formatPlatform(platform)})`
    const hint = platform === undefined ? undefined : 'With --platform one of the images that are there can be copied.'
    throw new CairnError('BLOB_UNKNOWN', `${name} lacks the blob ${digest}${of}`, { hint })
  }
}

function tooDeep({ name }: ImageSource): CairnError {
  return new CairnError('MANIFEST_INVALID', `${name} has indexes nested more than ${deepestIndex} deep`)
}

/** Between two pieces other work and Ctrl-C get their turn. */
async function* interruptible(bytes: ByteSource, signal: AbortSignal | undefined): ByteSource {
  for await (const piece of bytes) {
    yield piece
    if (signal === undefined) continue
    await Bun.sleep(0)
    signal.throwIfAborted()
  }
}
