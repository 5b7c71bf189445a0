import type { CachedStep } from '../build/cache.ts'
import type { BlockCompressor } from '../compression/compress.ts'
import { compressionKey } from '../compression/compress.ts'
import { decompress } from '../compression/decompress.ts'
import { layerNode } from '../content/graph.ts'
import { type LayerRecord, listLayerForms, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import { getCompressedLayer, putCompressedLayer } from '../content/remote-blobs.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { type LayerCompression, mediaTypes } from '../oci/media-types.ts'
import { type BlobContent, CompressedContent, storedContent } from '../registry/client/blob-content.ts'
import { TaskSlots } from '../registry/client/task-slots.ts'
import {
  cacheConfig,
  cacheTypes,
  type NamedHistory,
  serializeCacheConfig,
  serializeHistories,
} from './cache-document.ts'
import { buildkitConfigType } from './buildkit-cache.ts'
import { type BuildkitDocument, buildkitDocument, type ExportedRecord } from './buildkit-records.ts'
import type { CacheExport } from './cache-options.ts'
import type { CacheTarget } from './cache-places.ts'
import type { ImportedCaches } from './import-cache.ts'

/** Layers that are sent at once. */
const concurrentUploads = 4

export interface CacheExporterOptions {
  readonly store: Store
  /** Protects what is sent. */
  readonly lease: Lease
  readonly target: CacheTarget
  readonly settings: Pick<CacheExport, 'compression' | 'force'>
  /** Where layers may be that the store has not. */
  readonly imported: ImportedCaches
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly signal: AbortSignal
}

/** A blob that a cache has besides its layers. */
export interface ExtraBlob {
  readonly mediaType: string
  readonly content: BlobContent
  readonly annotations: Readonly<Record<string, string>>
}

/** What a cache is to have. */
export interface FinishedBuild {
  readonly steps: readonly CachedStep[]
  readonly histories: readonly NamedHistory[]
  readonly extra: readonly ExtraBlob[]
  /** BuildKit's of the same steps, absent where it is not to read the cache. Takes long: files of contexts are hashed. */
  readonly records: (() => Promise<readonly ExportedRecord[]>) | undefined
}

/**
 * Writes one cache: layers as soon as they are {@link offer}ed, what says which steps they are of in the end. What the
 * target has is not sent again; a layer that is only in another cache is not even fetched then.
 */
export class CacheExporter {
  readonly #options: CacheExporterOptions
  readonly #slots: TaskSlots
  readonly #sent = new Map<Digest, Promise<Descriptor>>()

  constructor(options: CacheExporterOptions) {
    this.#options = options
    this.#slots = new TaskSlots(options.target.parallelism ?? concurrentUploads)
  }

  /** Begins to send a layer, if the store has it. A failure is told by {@link finish}. */
  offer(diffId: Digest): void {
    if (listLayerForms(this.#options.store, diffId).length > 0) this.#send(diffId).catch(() => undefined)
  }

  /** Waits for what was begun, whatever comes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#sent.values())
  }

  /**
   * Sends what is missing of the layers of `steps` and of those that BuildKit's records name, and has the cache's name lead
   * to all of it, where it does not yet. Gives the manifest; undefined where there is nothing to export. Throws what
   * sending throws; the cache is then as it was.
   *
   * @param status - told of each thing that is there
   */
  async finish(
    { steps, histories, extra, records }: FinishedBuild,
    status: (text: string, size: number) => void,
  ): Promise<Descriptor | undefined> {
    const { target } = this.#options
    const order = [...new Set(steps.map(({ result }) => result.layer.diffId))]
    if (order.length === 0) return undefined
    const sent = await this.#sendAll(order, status)
    const own = [
      await this.#put(cacheTypes.history, serializeHistories(histories)),
      await this.#put(cacheTypes.config, serializeCacheConfig(cacheConfig(steps, order))),
      ...(await this.#sendExtra(extra)),
    ]
    const current = await target.current?.()
    const known = new Set(current?.layers.map(({ digest }) => digest))
    const isThere = [...sent.values(), ...own].every(({ digest }) => known.has(digest))
    const hasRecords = current?.config.size !== documentBytes(noDocument).length
    if (current !== undefined && isThere && hasRecords === (records !== undefined))
      return await this.#commit(current, noDocument, status)
    const made = (await records?.()) ?? []
    const below = new Set(made.flatMap(({ layers = [] }) => layers)).difference(new Set(order))
    for (const [diffId, layer] of await this.#sendAll([...below], status)) sent.set(diffId, layer)
    const document = buildkitDocument(made, sent)
    const bytes = documentBytes(document)
    const config = { mediaType: buildkitConfigType, digest: digestOf(bytes), size: bytes.length }
    if (target.holdsDocument !== true) await this.#put(config.mediaType, bytes)
    status(`writing config ${config.digest}`, config.size)
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: cacheTypes.artifact,
      config,
      layers: [...sent.values(), ...own],
    }
    return await this.#commit(manifest, document, status)
  }

  async #commit(
    manifest: Manifest,
    document: BuildkitDocument,
    status: (text: string, size: number) => void,
  ): Promise<Descriptor> {
    const bytes = serializeManifest(manifest)
    const descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf(bytes), size: bytes.length }
    await this.#options.target.commit(bytes, descriptor, document)
    status(`writing cache image manifest ${descriptor.digest}`, descriptor.size)
    return descriptor
  }

  /** The layers as they are at the target, in this order, with what BuildKit wants to be told of each. */
  async #sendAll(
    diffIds: readonly Digest[],
    status: (text: string, size: number) => void,
  ): Promise<Map<Digest, Descriptor>> {
    const sent = new Map<Digest, Descriptor>()
    for (const result of await Promise.allSettled(diffIds.map((diffId) => this.#send(diffId)))) {
      if (result.status === 'rejected') throw result.reason
      const diffId = diffIds[sent.size] as Digest
      sent.set(diffId, { ...result.value, annotations: { 'containerd.io/uncompressed': diffId } })
      status(`writing layer ${result.value.digest}`, result.value.size)
    }
    return sent
  }

  async #sendExtra(extra: readonly ExtraBlob[]): Promise<Descriptor[]> {
    const { target } = this.#options
    const descriptors: Descriptor[] = []
    for (const { mediaType, content, annotations } of extra) {
      const known = content.identity
      const isThere = known !== undefined && (await target.has(known))
      const { digest, size } = isThere ? known : await target.put(content, known?.digest ?? mediaType)
      descriptors.push({ mediaType, digest, size, annotations })
    }
    return descriptors
  }

  async #put(mediaType: string, bytes: Uint8Array<ArrayBuffer>): Promise<Descriptor> {
    const { target } = this.#options
    const blob = { digest: digestOf(bytes), size: bytes.length }
    if (!(await target.has(blob))) await target.putBytes(bytes, blob.digest)
    return { mediaType, ...blob }
  }

  #send(diffId: Digest): Promise<Descriptor> {
    let sent = this.#sent.get(diffId)
    if (sent === undefined) this.#sent.set(diffId, (sent = this.#slots.run(() => this.#sendLayer(diffId))))
    return sent
  }

  async #sendLayer(diffId: Digest): Promise<Descriptor> {
    const { store, lease, imported, target, signal } = this.#options
    signal.throwIfAborted()
    lease.protect(layerNode(diffId))
    if (listLayerForms(store, diffId).length === 0) {
      const elsewhere = imported.descriptorOf(diffId)
      if (elsewhere !== undefined && (await target.has(elsewhere))) {
        const { mediaType, digest, size } = elsewhere
        return { mediaType, digest, size }
      }
      await imported.bring(diffId)
    }
    const form = this.#formOf(listLayerForms(store, diffId))
    if (form === undefined) throw new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`)
    const { compression } = this.#options.settings
    const isAsIs =
      compression === 'none'
        ? form.compression === 'none' || !this.#options.settings.force
        : form.compression !== 'none'
    return isAsIs ? await this.#sendAsIs(form) : await this.#sendCompressed(form)
  }

  /** The form of a layer that takes the least work to give what is asked for. */
  #formOf(forms: readonly LayerRecord[]): LayerRecord | undefined {
    const { compression, force } = this.#options.settings
    const wanted = compression === 'none' ? 'none' : compression.format
    const plain = forms.find((form) => form.compression === 'none')
    const exact = forms.find((form) => form.compression === wanted)
    return exact ?? (force ? (plain ?? forms[0]) : (forms.find((form) => form.compression !== 'none') ?? plain))
  }

  async #sendAsIs({ digest, size, compression }: LayerRecord): Promise<Descriptor> {
    const { store, lease, target } = this.#options
    if (!lease.claim(digest)) throw new CairnError('BLOB_UNKNOWN', `blob ${digest} is not in the store`)
    const blob = { digest, size }
    if (!(await target.has(blob))) await target.put(storedContent(store, blob), digest)
    return { mediaType: layerTypes[compression], ...blob }
  }

  async #sendCompressed(form: LayerRecord): Promise<Descriptor> {
    const { store, target, settings, compressor, concurrency } = this.#options
    const { compression } = settings
    const { diffId } = form
    if (form.compression !== 'none') await this.#unpack(form)
    if (compression === 'none') {
      const [plain = form] = listLayerForms(store, diffId)
      return await this.#sendAsIs(plain)
    }
    const key = compressionKey(compression)
    const mediaType = layerTypes[compression.format]
    const known = getCompressedLayer(store, diffId, key)
    if (known !== undefined && (await target.has(known))) return { mediaType, digest: known.digest, size: known.size }
    const content = new CompressedContent(store, diffId, { ...compression, compressor, concurrency })
    const { digest, size } = await target.put(content, `${diffId} ${key}`)
    putCompressedLayer(store, diffId, key, { digest, size })
    return { mediaType, digest, size }
  }

  /** Makes the uncompressed form of a layer. */
  async #unpack({ diffId, digest, unpackedSize }: LayerRecord): Promise<void> {
    const { store, lease, signal } = this.#options
    const ingest = lease.ingest({ digest: diffId, size: unpackedSize })
    try {
      for await (const bytes of decompress(store.blobs.open(digest))) {
        signal.throwIfAborted()
        ingest.write(bytes)
      }
      await ingest.commit()
    } finally {
      ingest.abort()
    }
    putLayerRecord(store, { diffId, digest: diffId, compression: 'none', size: unpackedSize, unpackedSize })
  }
}

const noDocument: BuildkitDocument = { layers: [], records: [] }

function documentBytes(document: BuildkitDocument): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(document))
}

const layerTypes: Readonly<Record<LayerCompression, string>> = {
  none: mediaTypes.ociLayerTar,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
}
