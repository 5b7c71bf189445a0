import { getImageRecord, getTag, putTag } from '../../content/image-records.ts'
import { getLayerRecord } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import {
  type CompressedLayer,
  getCompressedLayer,
  listBlobSources,
  putBlobSources,
  putCompressedLayer,
} from '../../content/remote-blobs.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { isImageConfigType, pairLayers } from '../../images/image.ts'
import { listReferrers } from '../../images/referrers.ts'
import { removeFile } from '../../linux/names.ts'
import { parseImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestHex, digestOf } from '../../oci/digest.ts'
import { type ImageIndex, isAttestation, parseImageDocument, serializeIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { type Manifest, serializeManifest } from '../../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression, mediaTypes } from '../../oci/media-types.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { familiarName, familiarString, formatReference, type Reference, withDigest } from '../../oci/reference.ts'
import type { TransferListener } from '../../progress/transfer-events.ts'
import { CompressedContent, fileContent, type LayerCompression, storedContent } from './blob-content.ts'
import { layerCompressionKey, writeChunkedLayer } from './chunked-content.ts'
import type { RegistryClient } from './connection.ts'
import { Repository, type UploadSession } from './repository.ts'
import { TaskSlots } from './task-slots.ts'
import { uploadBlob } from './upload.ts'

export interface PushOptions {
  readonly store: Store
  /** Protects what is sent. */
  readonly lease: Lease
  readonly client: RegistryClient
  /** The manifest or index of the store that is pushed. */
  readonly image: Descriptor
  /** Where to, with a tag; with a digest it gets no other name there than its own digest. */
  readonly reference: Reference
  /** How layers that are kept uncompressed are sent; as they are if absent. */
  readonly compression?: LayerCompression | undefined
  readonly listener?: TransferListener | undefined
  readonly signal: AbortSignal
}

/** What a push left at the registry. */
export interface PushedImage {
  /** The manifest or index, which is another one than that of the store where layers were compressed. */
  readonly target: Descriptor
}

/** Blobs that are sent at once. */
const concurrentUploads = 4
/** Repositories that blobs are asked to be mounted from: each is one more right to be asked for. */
const mostSources = 4

/**
 * Pushes an image with all its platforms and attestations. A blob that the registry has, in this or another of its
 * repositories, is not sent; layers that the store keeps uncompressed are compressed on the way, and what they became
 * is remembered, so that pushing them again costs a question each. An image that the tag leads to already costs one
 * HEAD. Throws as {@link Repository}, {@link uploadBlob}, and BLOB_UNKNOWN where a part of the image is not in the store.
 */
export async function pushImage(options: PushOptions): Promise<PushedImage> {
  return await new ImagePush(withoutChange(options)).run()
}

/**
 * Pushes a manifest of the store that refers to another, so that registries list it there; `reference` names the
 * repository. Throws as {@link pushImage}.
 */
export async function pushReferrer(options: PushOptions): Promise<void> {
  await new ImagePush({ ...options, compression: undefined }).runReferrer()
}

/** What is signed or attested is an image by its digest: its layers are then sent as they are. */
function withoutChange(options: PushOptions): PushOptions {
  const { store, image, compression, listener } = options
  if (compression === undefined || !isStated(store, image)) return options
  listener?.({
    id: undefined,
    text: 'i Info → The image is signed or attested: its layers are pushed as they are stored',
  })
  return { ...options, compression: undefined }
}

/** True for an image that statements about it are in the store with: signatures, attestations. */
export function isStated(store: Store, { digest, mediaType }: Descriptor): boolean {
  if (listReferrers(store, digest).length > 0) return true
  if (!isIndexType(mediaType) || !store.blobs.has(digest)) return false
  const document = parseImageDocument(store.blobs.readAll(digest, largestDocument), mediaType)
  return document.type === 'index' && document.value.manifests.some((one) => isAttestation(one) || isStated(store, one))
}

/** A layer, or another blob of a manifest. */
interface Part {
  readonly descriptor: Descriptor
  /** Of a layer that has to be compressed. */
  readonly diffId: Digest | undefined
  /** What progress calls it. */
  readonly id: string
  readonly isLayer: boolean
}

class ImagePush {
  readonly #options: PushOptions
  readonly #listener: TransferListener
  readonly #repository: Repository
  readonly #slots = new TaskSlots(concurrentUploads)
  readonly #sent = new Map<Digest, Promise<Descriptor>>()
  readonly #sources: readonly string[]
  readonly #present = new Set<Digest>()

  constructor(options: PushOptions) {
    this.#options = options
    this.#listener = options.listener ?? (() => {})
    const { client, reference } = options
    const endpoint = client.hosts.endpointFor(reference)
    this.#sources = this.#findSources(endpoint.host, endpoint.path)
    const name = familiarName(reference)
    this.#repository = new Repository(client, endpoint, { name, isPush: true, alsoPull: this.#sources })
  }

  async run(): Promise<PushedImage> {
    const { image, reference, store } = this.#options
    const tag = reference.digest === undefined ? (reference.tag ?? 'latest') : undefined
    this.#listener({ id: undefined, text: `The push refers to repository [${familiarName(reference)}]` })
    const expected = this.#expected(image)
    const there = expected === undefined ? undefined : await this.#repository.describe(tag ?? expected.digest)
    const isThere = expected !== undefined && there?.digest === expected.digest
    const target = isThere ? expected : await this.#pushDocument(image, tag)
    if (isThere) this.#tellAll(image, 'Layer already exists')
    const { host, path } = this.#repository.endpoint
    if (!isThere) putBlobSources(store, this.#present, { host, repository: path })
    await this.#pushReferrers(image)
    this.#remember(target.digest)
    this.#listener({ id: undefined, text: `${tag ?? target.digest}: digest: ${target.digest} size: ${target.size}` })
    return { target }
  }

  async runReferrer(): Promise<void> {
    await this.#pushReferrer(this.#options.image)
  }

  /** Sends what refers to the image, or to one of its platforms: it is not part of it, and may be newer. */
  async #pushReferrers(image: Descriptor): Promise<void> {
    const document = this.#read(image)
    if (document?.type === 'index') for (const entry of document.value.manifests) await this.#pushReferrers(entry)
    for (const referrer of listReferrers(this.#options.store, image.digest)) await this.#pushReferrer(referrer)
  }

  async #pushReferrer(referrer: Descriptor): Promise<void> {
    const document = this.#read(referrer)
    if (document?.type !== 'manifest') return
    await this.#pushParts(referrer, document.value)
    await this.#repository.putDocument(referrer.digest, document.raw, referrer.mediaType)
  }

  /** The image is known by what it is called there, too. */
  #remember(digest: Digest): void {
    const { store, image, reference } = this.#options
    const name = formatReference(withDigest(reference, digest))
    if (getImageRecord(store, image.digest) === undefined || getTag(store, name)?.digest === image.digest) return
    putTag(store, name, image.digest)
  }

  /** Other repositories of the registry that have blobs of the image. */
  #findSources(host: string, path: string): readonly string[] {
    const { store } = this.#options
    const found = new Set<string>()
    for (const digest of this.#knownBlobs(this.#options.image))
      for (const repository of listBlobSources(store, digest, host)) if (repository !== path) found.add(repository)
    return [...found].slice(0, mostSources)
  }

  #knownBlobs(descriptor: Descriptor): readonly Digest[] {
    const document = this.#read(descriptor)
    if (document === undefined) return []
    if (document.type === 'index') return document.value.manifests.flatMap((entry) => this.#knownBlobs(entry))
    return this.#parts(document.value).flatMap((part) => this.#known(part)?.digest ?? [])
  }

  /** A document of the store. What is sent of it is protected when its turn comes, so that nothing else costs a write. */
  #read({ digest, mediaType }: Descriptor): ReturnType<typeof parseImageDocument> | undefined {
    const { store } = this.#options
    if ((!isIndexType(mediaType) && !isManifestType(mediaType)) || !store.blobs.has(digest)) return undefined
    return parseImageDocument(store.blobs.readAll(digest, largestDocument), mediaType)
  }

  /** Layers and config of a manifest; the topmost layer first, as docker tells of them. */
  #parts(manifest: Manifest): readonly Part[] {
    const { store } = this.#options
    const { config: configDescriptor } = manifest
    const config: Part = {
      descriptor: configDescriptor,
      diffId: undefined,
      id: shortId(configDescriptor.digest),
      isLayer: false,
    }
    if (!isImageConfigType(configDescriptor.mediaType))
      return [
        ...manifest.layers.map((descriptor) => ({ ...config, descriptor, id: shortId(descriptor.digest) })),
        config,
      ]
    const { value } = parseImageConfig(store.blobs.readAll(configDescriptor.digest, largestDocument))
    const layers = pairLayers(manifest, value).map(({ descriptor, diffId }): Part => {
      const isLayer = layerCompression(descriptor.mediaType) !== undefined
      return { descriptor, id: shortId(diffId), isLayer, diffId: this.#mustCompress(descriptor) ? diffId : undefined }
    })
    return [...layers.toReversed(), config]
  }

  #mustCompress({ digest, mediaType }: Descriptor): boolean {
    if (this.#options.compression === undefined || layerCompression(mediaType) !== 'none') return false
    return getLayerRecord(this.#options.store, digest)?.compression === 'none'
  }

  /** What a part is at the registry, as far as that is known before it is sent. */
  #known({ descriptor, diffId }: Part): Descriptor | undefined {
    const { store, compression } = this.#options
    if (diffId === undefined || compression === undefined) return descriptor
    const known = getCompressedLayer(store, diffId, layerCompressionKey(compression))
    return known === undefined ? undefined : compressedDescriptor(descriptor, known, compression)
  }

  /** What a document of the store will be at the registry; undefined where a layer has to be compressed to know. */
  #expected(descriptor: Descriptor): Descriptor | undefined {
    const document = this.#read(descriptor)
    if (document === undefined) return descriptor
    if (document.type === 'index') {
      const children = document.value.manifests.map((entry) => this.#expected(entry))
      const known = children.filter((child) => child !== undefined)
      return known.length === children.length
        ? this.#rewriteIndex(descriptor, document.value, known).descriptor
        : undefined
    }
    const sent = new Map<Digest, Descriptor>()
    for (const part of this.#parts(document.value)) {
      const known = this.#known(part)
      if (known === undefined) return undefined
      sent.set(part.descriptor.digest, known)
    }
    return this.#rewriteManifest(descriptor, document.value, sent).descriptor
  }

  #tellAll(descriptor: Descriptor, text: string): void {
    const document = this.#read(descriptor)
    if (document === undefined) return
    if (document.type === 'index') for (const entry of document.value.manifests) this.#tellAll(entry, text)
    else for (const { id, isLayer } of this.#parts(document.value)) if (isLayer) this.#listener({ id, text })
  }

  /** Sends a document and all it leads to; gives what it is called there. */
  async #pushDocument(descriptor: Descriptor, reference: string | undefined): Promise<Descriptor> {
    const document = this.#options.lease.claim(descriptor.digest) ? this.#read(descriptor) : undefined
    if (document === undefined) return await this.#requireThere(descriptor)
    const { raw, descriptor: target } =
      document.type === 'index'
        ? await this.#pushChildren(descriptor, document.value)
        : await this.#pushParts(descriptor, document.value)
    await this.#repository.putDocument(reference ?? target.digest, raw ?? document.raw, target.mediaType)
    return target
  }

  /** An image that is only named here may be there. */
  async #requireThere(descriptor: Descriptor): Promise<Descriptor> {
    const found = await this.#repository.describe(descriptor.digest)
    if (found !== undefined) return descriptor
    const { platform, digest } = descriptor
    const which = platform === undefined ? digest : `${formatPlatform(platform)} (${digest})`
    throw new CairnError(
      'BLOB_UNKNOWN',
      `${familiarString(this.#options.reference)} is not complete: the store lacks ${which}`,
      {
        hint: 'Push one platform with --platform, or bring all with `cairn pull --all-platforms`.',
      },
    )
  }

  async #pushChildren(descriptor: Descriptor, index: ImageIndex): Promise<Rewritten> {
    const children: Descriptor[] = []
    for (const entry of index.manifests) children.push(await this.#pushDocument(entry, undefined))
    return this.#rewriteIndex(descriptor, index, children)
  }

  async #pushParts(descriptor: Descriptor, manifest: Manifest): Promise<Rewritten> {
    const parts = this.#parts(manifest)
    for (const { id, isLayer } of parts) if (isLayer) this.#listener({ id, text: 'Preparing' })
    const results = await Promise.allSettled(parts.map((part) => this.#pushPart(part)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const sent = new Map<Digest, Descriptor>()
    for (const [index, { descriptor: own }] of parts.entries()) {
      const result = results[index]
      if (result?.status === 'fulfilled') sent.set(own.digest, result.value)
    }
    return this.#rewriteManifest(descriptor, manifest, sent)
  }

  #pushPart(part: Part): Promise<Descriptor> {
    const { digest } = part.descriptor
    let sent = this.#sent.get(digest)
    if (sent === undefined) this.#sent.set(digest, (sent = this.#slots.run(() => this.#send(part))))
    return sent
  }

  async #send(part: Part): Promise<Descriptor> {
    const tell = (text: string): void => {
      if (part.isLayer) this.#listener({ id: part.id, text })
    }
    const known = this.#known(part)
    let session: UploadSession | undefined
    if (known !== undefined) {
      const found = await this.#find(known.digest)
      if (found.text !== undefined) {
        tell(found.text)
        this.#present.add(known.digest)
        return known
      }
      session = found.session
    }
    const sent = await this.#upload(part, session)
    this.#present.add(sent.digest)
    tell('Pushed')
    return sent
  }

  /** How the registry comes to have a blob without it being sent, else an upload that it began. */
  async #find(digest: Digest): Promise<{ readonly text?: string; readonly session?: UploadSession }> {
    const { store } = this.#options
    const { host, path } = this.#repository.endpoint
    const known = listBlobSources(store, digest, host)
    const others = known.filter((one) => one !== path && this.#sources.includes(one))
    if (others.length === 0 || known.includes(path))
      if (await this.#repository.hasBlob(digest)) return { text: 'Layer already exists' }
    for (const from of others.slice(0, 2)) {
      try {
        const session = await this.#repository.mountBlob(digest, from)
        if (session === undefined) return { text: `Mounted from ${from}` }
        return { session }
      } catch (error) {
        // Whoever may not read there is not told more; the blob is sent.
        if (!isCairnError(error) || error.kind === 'canceled' || error.kind === 'unavailable') throw error
      }
    }
    return {}
  }

  async #upload(part: Part, session: UploadSession | undefined): Promise<Descriptor> {
    const { store, lease, compression, signal, client } = this.#options
    const { descriptor, diffId, id, isLayer } = part
    if (!lease.claim(descriptor.digest))
      throw new CairnError(
        'BLOB_UNKNOWN',
        `${familiarString(this.#options.reference)}: the store lacks the blob ${descriptor.digest}`,
      )
    const { firstPause } = client.options
    const base = {
      store,
      repository: this.#repository,
      signal,
      session,
      firstPause,
    }
    if (diffId === undefined || compression === undefined) {
      const tell = (current: number): void => {
        if (isLayer) this.#listener({ id, text: 'Pushing', current, total: descriptor.size })
      }
      await uploadBlob(storedContent(store, descriptor), {
        ...base,
        key: descriptor.digest,
        onBytes: tell,
      })
      return descriptor
    }
    const settings = layerCompressionKey(compression)
    if (compression.isChunked === true) {
      const path = store.session.temporaryPath('chunked')
      const tell = (current: number): void => this.#listener({ id, text: 'Pushing', current, total: descriptor.size })
      try {
        const made = await writeChunkedLayer(store, { diffId, size: descriptor.size }, compression, path, tell)
        putCompressedLayer(store, diffId, settings, made)
        const found = await this.#find(made.digest)
        if (found.text === undefined)
          await uploadBlob(fileContent(path, made), { ...base, session: found.session, key: made.digest })
        return compressedDescriptor(descriptor, made, compression)
      } finally {
        removeFile(path)
      }
    }
    const content = new CompressedContent(store, diffId, compression)
    const sent = await uploadBlob(content, {
      ...base,
      key: `${diffId} ${settings}`,
      onBytes: () => this.#listener({ id, text: 'Pushing', current: content.taken, total: descriptor.size }),
    })
    putCompressedLayer(store, diffId, settings, sent)
    return compressedDescriptor(descriptor, sent, compression)
  }

  #rewriteManifest(descriptor: Descriptor, manifest: Manifest, sent: ReadonlyMap<Digest, Descriptor>): Rewritten {
    const layers = manifest.layers.map((layer) => sent.get(layer.digest) ?? layer)
    if (layers.every(({ digest }, index) => digest === manifest.layers[index]?.digest))
      return { descriptor, raw: undefined }
    return rewritten(descriptor, serializeManifest({ ...manifest, layers }))
  }

  /** The index with its entries as they are there; attestations name the image that they are of by its new digest. */
  #rewriteIndex(descriptor: Descriptor, index: ImageIndex, children: readonly Descriptor[]): Rewritten {
    const renamed = new Map(index.manifests.map(({ digest }, at) => [digest as string, children[at]?.digest as string]))
    if ([...renamed].every(([before, after]) => before === after)) return { descriptor, raw: undefined }
    const manifests = index.manifests.map((entry, at): Descriptor => {
      const { digest, size } = children[at] as Descriptor
      const subject = entry.annotations?.['vnd.docker.reference.digest']
      const annotations =
        isAttestation(entry) && subject !== undefined
          ? { ...entry.annotations, 'vnd.docker.reference.digest': renamed.get(subject) ?? subject }
          : entry.annotations
      return { ...entry, digest, size, ...(annotations === undefined ? {} : { annotations }) }
    })
    return rewritten(descriptor, serializeIndex({ ...index, manifests }))
  }
}

/** A document as it is at the registry; without bytes where they are those of the store. */
interface Rewritten {
  readonly descriptor: Descriptor
  readonly raw: Uint8Array | undefined
}

function rewritten({ mediaType }: Descriptor, raw: Uint8Array): Rewritten {
  return { descriptor: { mediaType, digest: digestOf(raw), size: raw.length }, raw }
}

const compressedTypes = {
  oci: { gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd },
  docker: { gzip: mediaTypes.dockerLayerGzip, zstd: mediaTypes.dockerLayerZstd },
}

function compressedDescriptor(
  original: Descriptor,
  { digest, size, annotations: own }: CompressedLayer,
  { format }: LayerCompression,
): Descriptor {
  const family = original.mediaType === mediaTypes.dockerLayerTar ? 'docker' : 'oci'
  const annotations = { ...original.annotations, ...own }
  return {
    ...original,
    mediaType: compressedTypes[family][format],
    digest,
    size,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }
}

function shortId(digest: Digest): string {
  return digestHex(digest).slice(0, 12)
}
