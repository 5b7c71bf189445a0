import { noteGarbage } from '../../content/garbage.ts'
import { blobNode, link } from '../../content/graph.ts'
import { getTag, putTag } from '../../content/image-records.ts'
import { getLayerRecord, type LayerRecord } from '../../content/layer-records.ts'
import { finishSnapshot } from '../../content/snapshot-records.ts'
import { putBlobSources } from '../../content/remote-blobs.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { type ImageLayer, isImageConfigType, pairLayers } from '../../images/image.ts'
import { LayerStack } from '../../images/layer-stack.ts'
import { storedStacks } from '../../images/layer-verification.ts'
import { linkManifest, preferredEntry, recordIndex, recordManifest } from '../../images/records/put-image.ts'
import { takeRootFrom } from '../../layers/unpack/take-root.ts'
import { parseImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestHex } from '../../oci/digest.ts'
import { type ImageDocument, type ImageIndex, isAttestation, parseImageDocument } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression } from '../../oci/media-types.ts'
import { formatPlatform, hostPlatform, type Platform, selectPlatform } from '../../oci/platform.ts'
import { familiarString, formatReference, type Reference, withDigest } from '../../oci/reference.ts'
import type { TransferListener } from '../../progress/transfer-events.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'
import type { RegistryClient } from './connection.ts'
import { composeLayer } from './compose-layer.ts'
import { downloadBlob, type DownloadOptions } from './download.ts'
import { layerPieces } from './layer-pieces.ts'
import { type LayerPlan, type LayerPlanOptions, planLayer } from './layer-plan.ts'
import { findPresentImage } from './present-image.ts'
import {
  type ArrivalListener,
  discardSnapshot,
  LayerPull,
  type LayerPullOptions,
  type PulledLayer,
} from './pull-layer.ts'
import type { Repository } from './repository.ts'
import { firstOf, resolveRemote } from './resolve.ts'
import { TaskSlots } from './task-slots.ts'

export interface PullOptions extends LayerPullOptions {
  readonly client: RegistryClient
  /** With a tag or a digest. */
  readonly reference: Reference
  /** Of an image for several platforms, the one to bring; this machine's if absent. */
  readonly platform?: Platform | undefined
  /** Brings all platforms. */
  readonly isComplete?: boolean | undefined
  /** What it is called here, where that is not `reference`. */
  readonly names?: readonly Reference[]
  /** Leaves a tag of `reference` to the image that has it here; this one is known by its digest alone. */
  readonly isTagLeft?: boolean | undefined
  readonly listener?: TransferListener | undefined
  readonly signal: AbortSignal
}

/** What a pull brought. */
export interface PulledImage {
  /** The manifest or index that the reference leads to. */
  readonly target: Descriptor
  /** The manifest of the platform asked for. */
  readonly manifest: Descriptor
  /** False where the name led there already, with all of it in the store. */
  readonly isNew: boolean
}

/** Layers that are fetched at once. */
const concurrentDownloads = 4
const deepestIndex = 4

/**
 * Brings an image from its registry (or the first mirror that has it) into the store, under its name: layers are
 * fetched, verified, decompressed and unpacked at the same time. Attestations of what is brought come along. Documents
 * that are here already are not asked for again: an image that did not change costs one HEAD. Nothing is recorded unless
 * all of it is right, but what was fetched whole stays for the next attempt. Throws as {@link Repository.document} and
 * {@link downloadBlob}, IMAGE_PLATFORM, and what examining a layer throws.
 */
export async function pullImage(options: PullOptions): Promise<PulledImage> {
  return await new ImagePull(options).run()
}

interface BroughtManifest {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
}

interface BroughtIndex {
  readonly descriptor: Descriptor
  /** All its entries, in the store or not. */
  readonly children: readonly Descriptor[]
}

class ImagePull {
  readonly #options: PullOptions
  readonly #listener: TransferListener
  readonly #slots = new TaskSlots(concurrentDownloads)
  /** Those that are asked for parts of the image, that which had its manifest first. */
  #repositories: readonly Repository[] = []
  readonly #manifests: BroughtManifest[] = []
  readonly #indexes: BroughtIndex[] = []
  readonly #records: LayerRecord[] = []
  readonly #layers = new Map<Digest, Promise<PulledLayer>>()
  /** Documents that were fetched and are not in the store yet. */
  readonly #unkept = new Map<Digest, Uint8Array>()
  #hasFetched = false

  constructor(options: PullOptions) {
    this.#options = options
    this.#listener = options.listener ?? (() => {})
  }

  async run(): Promise<PulledImage> {
    try {
      return await this.#run()
    } catch (error) {
      await this.#discardUnfinished()
      // Of an image that is wrong nothing is worth another attempt, nor may it be half an image that fills the disk.
      const { store, lease } = this.#options
      const isWaste = isCairnError(error) && (error.kind === 'invalid' || error.code === 'DISK_FULL')
      if (isWaste) noteGarbage(store, lease.nodes)
      throw error
    }
  }

  /** Removes directories that still waited for the layers below. */
  async #discardUnfinished(): Promise<void> {
    for (const layer of await Promise.allSettled(this.#layers.values())) {
      const rest = layer.status === 'fulfilled' ? layer.value.takeSnapshot() : undefined
      if (rest !== undefined) discardSnapshot(this.#options.store, rest.id)
    }
  }

  async #run(): Promise<PulledImage> {
    const { reference, store } = this.#options
    const { repositories, descriptor: target } = await resolveRemote(this.#options.client, reference)
    this.#repositories = repositories
    const tag = reference.digest === undefined ? `${reference.tag}: ` : ''
    this.#tell(undefined, `${tag}Pulling from ${reference.path}`)
    const isNamed = this.#namesOf(target).every(
      (name) => getTag(store, formatReference(name))?.digest === target.digest,
    )
    const present = isNamed ? this.#findPresent(target) : undefined
    if (present !== undefined) return { target, manifest: present, isNew: false }
    const document = await this.#document(target)
    const manifest = document.type === 'manifest' ? target : await this.#bringIndex(target, document.value, 0)
    if (document.type === 'manifest') await this.#bringManifest(target, document.value, this.#isForHere(target))
    const isNew = this.#hasFetched || !isNamed
    if (isNew) this.#record(target)
    return { target, manifest: manifest ?? target, isNew }
  }

  /** A manifest or index: from the store, else fetched by its digest. */
  async #document(descriptor: Descriptor): Promise<ImageDocument> {
    const { store, lease } = this.#options
    const { digest, mediaType, size } = descriptor
    if (lease.claim(digest)) return parseImageDocument(store.blobs.readAll(digest, largestDocument), mediaType)
    const found = await firstOf(this.#repositories, (repository) => repository.document(digest))
    if (found.descriptor.mediaType !== mediaType || found.descriptor.size !== size)
      throw new CairnError(
        'MANIFEST_INVALID',
        `${digest} is ${found.descriptor.mediaType} of ${found.descriptor.size} bytes, not ${mediaType} of ${size} as it was announced`,
      )
    this.#unkept.set(digest, found.document.raw)
    this.#hasFetched = true
    return found.document
  }

  /** Puts a document into the store, where one stands for all it leads to: that has to be there. */
  async #keep({ digest, size }: Descriptor): Promise<void> {
    const bytes = this.#unkept.get(digest)
    if (bytes === undefined) return
    const ingest = this.#options.lease.ingest({ digest, size })
    try {
      ingest.write(bytes)
      await ingest.commit()
    } finally {
      ingest.abort()
    }
  }

  /** Brings the chosen entries of an index; gives the manifest of the platform asked for. */
  async #bringIndex(descriptor: Descriptor, index: ImageIndex, depth: number): Promise<Descriptor | undefined> {
    if (depth > deepestIndex)
      throw new CairnError('MANIFEST_INVALID', `${this.#name} has indexes nested more than ${deepestIndex} deep`)
    const { chosen, entries: children } = this.#entriesOf(index)
    let preferred: Descriptor | undefined = chosen
    const work = children.map(async (child) => {
      if (!isIndexType(child.mediaType) && !isManifestType(child.mediaType)) return
      const document = await this.#document(child)
      if (document.type === 'index') {
        const inner = await this.#bringIndex(child, document.value, depth + 1)
        if (child === chosen) preferred = inner
      } else await this.#bringManifest(child, document.value, child === chosen && this.#isForHere(child))
    })
    await settled(work)
    await this.#keep(descriptor)
    this.#indexes.push({ descriptor, children: index.manifests })
    return preferred
  }

  #findPresent(target: Descriptor): Descriptor | undefined {
    return findPresentImage(this.#options.store, target, {
      entriesOf: (index) => this.#entriesOf(index),
      isUnpacked: (manifest) => this.#isForHere(manifest),
    })
  }

  /** The entries of an index to bring, and which of them is the image. */
  #entriesOf(index: ImageIndex): { readonly chosen: Descriptor; readonly entries: readonly Descriptor[] } {
    const chosen = this.#choose(index)
    const isComplete = this.#options.isComplete === true
    return { chosen, entries: isComplete ? index.manifests : withAttestations(index, chosen) }
  }

  #choose(index: ImageIndex): Descriptor {
    const { platform } = this.#options
    const images = index.manifests.filter((entry) => !isAttestation(entry))
    const found =
      selectPlatform(
        platform ?? hostPlatform(),
        images.map((entry) => entry.platform),
      ) >= 0
        ? preferredEntry(images, platform)
        : images.length === 1 && images[0]?.platform === undefined
          ? images[0]
          : undefined
    if (found !== undefined) return found
    if (this.#options.isComplete === true && images[0] !== undefined) return images[0]
    const wanted = formatPlatform(platform ?? hostPlatform())
    const present = images.flatMap((entry) => (entry.platform === undefined ? [] : [formatPlatform(entry.platform)]))
    throw new CairnError('IMAGE_PLATFORM', `no matching manifest for ${wanted} in the manifest list entries`, {
      hint: `${this.#name} has ${present.length === 0 ? 'no images' : present.join(', ')}; choose one with --platform.`,
    })
  }

  /** Only what can run here is unpacked ahead. */
  #isForHere({ platform }: Descriptor): boolean {
    return platform === undefined || selectPlatform(hostPlatform(), [platform]) === 0
  }

  async #bringManifest(descriptor: Descriptor, manifest: Manifest, isForHere: boolean): Promise<void> {
    if (!isImageConfigType(manifest.config.mediaType)) {
      await settled([manifest.config, ...manifest.layers].map((blob) => this.#bringBlob(blob)))
      await this.#keep(descriptor)
      this.#manifests.push({ descriptor, manifest })
      return
    }
    await this.#bringBlob(manifest.config)
    const raw = this.#options.store.blobs.readAll(manifest.config.digest, largestDocument)
    const { value: config } = parseImageConfig(raw)
    const layers = pairLayers(manifest, config)
    const [documents, files] = partition(
      layers,
      ({ descriptor: { mediaType } }) => layerCompression(mediaType) === undefined,
    )
    await settled(documents.map((layer) => this.#bringBlob(layer.descriptor)))
    if (files.length > 0) await this.#bringLayers(files, isForHere)
    await this.#keep(descriptor)
    this.#manifests.push({ descriptor, manifest })
  }

  /** Brings a blob that is no layer of files. */
  async #bringBlob(blob: Descriptor): Promise<void> {
    const { isNew } = await this.#slots.run(() => this.#download(blob))
    this.#hasFetched ||= isNew
  }

  async #download(
    blob: Descriptor,
    more: Pick<DownloadOptions, 'onFile' | 'onBytes' | 'pieces' | 'compose'> = {},
  ): Promise<{ readonly isNew: boolean }> {
    const { store, lease, signal, client } = this.#options
    const { firstPause } = client.options
    const pause = firstPause === undefined ? {} : { firstPause }
    return await downloadBlob(blob, { store, lease, signal, repositories: this.#repositories, ...pause, ...more })
  }

  async #bringLayers(layers: readonly ImageLayer[], isUnpacked: boolean): Promise<void> {
    const { store } = this.#options
    const isHere = ({ digest, size }: Descriptor): boolean =>
      store.blobs.size(digest) === size && getLayerRecord(store, digest) !== undefined
    const news = layers.filter(({ descriptor }) => !isHere(descriptor))
    if (news.length > 0) this.#options.expect?.(Math.max(...news.map(({ descriptor }) => descriptor.size)))
    for (const { descriptor } of news.length > 0 ? layers : [])
      this.#tell(descriptor, isHere(descriptor) ? 'Already exists' : 'Pulling fs layer')
    // The largest first: so none is left to run alone at the end.
    const order = [...layers.entries()].toSorted(([, a], [, b]) => b.descriptor.size - a.descriptor.size)
    const started = order.map(([index, layer]) => this.#layer(layer, index === 0, isUnpacked))
    await settled(started)
    const pulled = await Promise.all(layers.map((layer) => this.#layer(layer, false, isUnpacked)))
    const stack = new LayerStack(store.limits, storedStacks(store))
    for (const [index, layer] of layers.entries()) {
      const { record, demands } = pulled[index] as PulledLayer
      const open = (): ReturnType<typeof store.blobs.open> => store.blobs.open(layer.descriptor.digest)
      if (demands === undefined) stack.addKnown(layer, record, open)
      else stack.addScanned(layer, record, demands, open)
    }
    await stack.finish()
    if (isUnpacked) await this.#finishDirectories(layers, pulled)
    for (const [index, { descriptor }] of layers.entries())
      if (pulled[index]?.isNew === true) this.#tell(descriptor, 'Pull complete')
  }

  #layer(layer: ImageLayer, isLowest: boolean, isUnpacked: boolean): Promise<PulledLayer> {
    const { digest } = layer.descriptor
    let pulled = this.#layers.get(digest)
    if (pulled === undefined) {
      pulled = this.#slots.run(() =>
        new LayerPull(this.#options, layer, isLowest, isUnpacked, this.#tell).run((listener) =>
          this.#downloadLayer(layer.descriptor, listener),
        ),
      )
      this.#layers.set(
        digest,
        (pulled = pulled.then((result) => {
          this.#hasFetched ||= result.isNew
          this.#records.push(result.record)
          return result
        })),
      )
    }
    return pulled
  }

  /** What layers of the store have of it is not fetched. */
  async #downloadLayer(
    blob: Descriptor,
    { onPlace, onFile, onBytes }: ArrivalListener,
  ): Promise<{ readonly isNew: boolean }> {
    const { store, lease, signal } = this.#options
    const options = { store, lease, repository: this.#repositories[0] as Repository }
    let plan: LayerPlan | undefined
    return await this.#download(blob, {
      onFile,
      onBytes,
      compose: async () => {
        plan = await this.#plan(blob, options)
        return plan && (await composeLayer(blob, plan, { ...options, signal, onPlace, onBytes }))
      },
      pieces: (start) => (plan === undefined ? noPieces : layerPieces(blob, start, plan, options)),
    })
  }

  /** Where a plan cannot be made all is fetched, and what is wrong comes to light then. */
  async #plan(blob: Descriptor, options: LayerPlanOptions): Promise<LayerPlan | undefined> {
    try {
      return await planLayer(blob, options)
    } catch {
      this.#options.signal.throwIfAborted()
      return undefined
    }
  }

  /** What unpacking had to leave to the layers below is done now, from the lowest up. */
  async #finishDirectories(layers: readonly ImageLayer[], pulled: readonly PulledLayer[]): Promise<void> {
    const { store, lease, signal } = this.#options
    const snapshots = new Snapshots(store, lease)
    const below: { readonly diffId: Digest; readonly directory: undefined }[] = []
    for (const [index, { diffId }] of layers.entries()) {
      const rest = pulled[index]?.takeSnapshot()
      if (rest !== undefined) {
        const [directory] = await snapshots.directories(below, signal)
        if (directory !== undefined) takeRootFrom(directory, rest.directory)
        finishSnapshot(store, rest.id, { state: 'committed', diffId, size: rest.size, linked: rest.linked })
      }
      below.push({ diffId, directory: undefined })
    }
    await snapshots.directories(below, signal)
  }

  #record(target: Descriptor): void {
    const { store } = this.#options
    store.database.transaction(() => {
      for (const { descriptor, manifest } of this.#manifests) linkManifest(store, descriptor.digest, manifest)
      for (const { descriptor, children } of this.#indexes) {
        const present = children.filter(({ digest }) => store.blobs.has(digest))
        if (descriptor.digest === target.digest) recordIndex(store, target, present, this.#tagsOf(target), 'pull')
        else
          link(
            store,
            blobNode(descriptor.digest),
            present.map(({ digest }) => blobNode(digest)),
          )
      }
      const own = this.#manifests.find(({ descriptor }) => descriptor.digest === target.digest)
      if (own !== undefined) recordManifest(store, target, own.manifest, this.#tagsOf(target), 'pull')
      for (const name of this.#namesOf(target))
        if (name.digest !== undefined) putTag(store, formatReference(name), target.digest)
      const { host, path } = (this.#repositories[0] as Repository).endpoint
      putBlobSources(
        store,
        this.#manifests.flatMap(({ manifest }) => blobsOf(manifest)),
        { host, repository: path },
      )
    })
  }

  /** What the image is called here: unless it is told, by its tag and by its digest. */
  #namesOf({ digest }: Descriptor): readonly Reference[] {
    const { reference, names, isTagLeft } = this.#options
    if (names !== undefined) return names
    if (reference.digest !== undefined) return [reference]
    return isTagLeft === true ? [withDigest(reference, digest)] : [reference, withDigest(reference, digest)]
  }

  #tagsOf(target: Descriptor): readonly Reference[] {
    return this.#namesOf(target).filter(({ digest }) => digest === undefined)
  }

  get #name(): string {
    return familiarString(this.#options.reference)
  }

  readonly #tell = (blob: Descriptor | undefined, text: string, current?: number): void => {
    const id = blob === undefined ? undefined : digestHex(blob.digest).slice(0, 12)
    this.#listener({ id, text, ...(current === undefined || blob === undefined ? {} : { current, total: blob.size }) })
  }
}

const noPieces: AsyncIterable<never> = (async function* () {})()

function blobsOf({ config, layers }: Manifest): Digest[] {
  return [config, ...layers].map(({ digest }) => digest)
}

/** The chosen entry and what attests to it. */
function withAttestations(index: ImageIndex, chosen: Descriptor): readonly Descriptor[] {
  return index.manifests.filter(
    (entry) =>
      entry === chosen ||
      (isAttestation(entry) && entry.annotations?.['vnd.docker.reference.digest'] === chosen.digest),
  )
}

function partition<Item>(items: readonly Item[], test: (item: Item) => boolean): readonly [Item[], Item[]] {
  return [items.filter(test), items.filter((item) => !test(item))]
}

/** Waits for all before the first failure is thrown, so that nothing goes on behind the back of who catches it. */
async function settled(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
