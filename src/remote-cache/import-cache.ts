import type { CachedStep, ImportedResults } from '../build/cache.ts'
import type { StoredHistory } from '../build/explain/build-history.ts'
import { blobNode, layerNode } from '../content/graph.ts'
import { listLayerForms, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { scanLayer } from '../images/layer-stack.ts'
import { ContentScan } from '../layers/content-scan.ts'
import { checkDemands, type LayerDemand, stackTree } from '../layers/trees/layer-tree.ts'
import type { LayerTree } from '../layers/tree.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { layerCompression } from '../oci/media-types.ts'
import { TaskSlots } from '../registry/client/task-slots.ts'
import type { CacheLayer, NamedHistory } from './cache-document.ts'
import type { ByteSource } from '../streams/source.ts'
import type { CacheSource } from './cache-places.ts'
import type { BuildkitRecord } from './buildkit-cache.ts'
import { type BuildkitFacts, type KeyedOp, matchBuildkit } from './match-buildkit.ts'
import type { CacheContent } from './read-cache.ts'
import { mountOfBlob, type TravellingMount } from './travelling-mount.ts'

/** Layers that are fetched at once. */
const concurrentFetches = 4

/** A layer of a cache, and the blob that it says unpacks to it. */
interface OfferedLayer {
  readonly layer: CacheLayer
  readonly descriptor: Descriptor
}

/** A cache mount that a cache has the files of. */
export interface ImportedMount extends TravellingMount {
  /** The cache's name. */
  readonly cache: string
  /** The files as a compressed tar. */
  readonly open: () => Promise<ByteSource>
}

/** One cache that was read. */
class ImportedCache {
  readonly name: string
  readonly source: CacheSource
  readonly histories: readonly NamedHistory[]
  readonly mounts: readonly Descriptor[]
  readonly steps = new Map<string, CachedStep>()
  readonly definitions = new Set<string>()
  readonly layers = new Map<Digest, OfferedLayer>()
  readonly #buildkit: readonly (readonly BuildkitRecord[])[]
  isDropped = false
  isIncomplete = false
  /** Layers that are not to be had. */
  readonly #missing = new Set<Digest>()

  constructor(name: string, source: CacheSource, { parts, buildkit, histories, mounts }: CacheContent) {
    this.name = name
    this.source = source
    this.histories = histories
    this.#buildkit = buildkit
    this.mounts = mounts
    for (const { steps, layers } of parts)
      for (const { layerIndex, ...step } of steps) {
        const { layer } = step.result
        const descriptor = layers[layerIndex]
        if (descriptor === undefined || layerCompression(descriptor.mediaType) === undefined) continue
        const known = this.layers.get(layer.diffId)
        // One layer has one content.
        if (known !== undefined && known.layer.contentDigest !== layer.contentDigest) continue
        this.layers.set(layer.diffId, known ?? { layer, descriptor })
        this.definitions.add(step.definition)
        this.#add({ ...step, origin: name })
      }
  }

  #add(step: CachedStep): void {
    for (const key of step.keys) if (!this.steps.has(key)) this.steps.set(key, step)
  }

  /** Takes the results that BuildKit's records have of these steps, parents first. */
  match(ops: readonly KeyedOp[], facts: BuildkitFacts): void {
    for (const records of this.#buildkit)
      for (const { step, layer } of matchBuildkit(records, ops, facts)) {
        const { diffId, descriptor } = layer
        if (this.#missing.has(diffId)) continue
        if (!this.layers.has(diffId)) this.layers.set(diffId, { layer: step.result.layer, descriptor })
        this.definitions.add(step.definition)
        this.#add({ ...step, origin: this.name })
      }
  }

  /** Gives up the steps with a layer that is not to be had. */
  forget(diffId: Digest): void {
    this.layers.delete(diffId)
    this.#missing.add(diffId)
    for (const [key, { result }] of this.steps) if (result.layer.diffId === diffId) this.steps.delete(key)
  }
}

export interface ImportedCachesOptions {
  readonly store: Store
  readonly lease: Lease
  /** Told why a cache is not used any more. */
  readonly warn: (text: string) => void
}

/**
 * The caches that a build takes results from. A result is believed to be that of its key; that its layer has the content
 * which it claims is verified before anything is made with it. A cache that turns out to be wrong is dropped, and what
 * was decided by it has to be decided anew.
 */
export class ImportedCaches implements ImportedResults {
  readonly #options: ImportedCachesOptions
  readonly #caches: ImportedCache[] = []
  readonly #brought = new Map<Digest, Promise<void>>()
  readonly #demands = new Map<Digest, readonly LayerDemand[]>()
  readonly #slots = new TaskSlots(concurrentFetches)
  /** How often something was dropped so far: a cache, or a step of one. */
  dropped = 0

  constructor(options: ImportedCachesOptions) {
    this.#options = options
  }

  /** Adds a cache; those that were added first are asked first. */
  add(name: string, source: CacheSource, content: CacheContent): void {
    this.#caches.push(new ImportedCache(name, source, content))
  }

  get #usable(): readonly ImportedCache[] {
    return this.#caches.filter(({ isDropped }) => !isDropped)
  }

  find(key: string): CachedStep | undefined {
    for (const { steps } of this.#usable) {
      const step = steps.get(key)
      if (step !== undefined) return step
    }
    return undefined
  }

  /** Has the caches of BuildKit looked through for the steps of a build, parents first. */
  match(ops: readonly KeyedOp[], facts: BuildkitFacts): void {
    for (const cache of this.#usable) cache.match(ops, facts)
  }

  hasDefinition(definition: string): boolean {
    return this.#usable.some(({ definitions }) => definitions.has(definition))
  }

  /** Builds of this Dockerfile for this platform that the caches tell of. */
  histories(dockerfile: string, platform: string): readonly StoredHistory[] {
    return this.#usable
      .flatMap(({ histories }) => histories)
      .filter((history) => history.dockerfile === dockerfile && history.platform === platform)
  }

  /** Cache mounts that the caches have, by their names in the store. */
  mounts(): ReadonlyMap<string, ImportedMount> {
    const found = new Map<string, ImportedMount>()
    for (const { name: cache, source, mounts } of this.#caches)
      for (const blob of mounts) {
        const mount = mountOfBlob(blob)
        if (mount !== undefined && !found.has(mount.name))
          found.set(mount.name, { ...mount, cache, open: () => source.open(blob) })
      }
    return found
  }

  /** The blob that a layer could be fetched as. */
  descriptorOf(diffId: Digest): Descriptor | undefined {
    return this.#usable.find(({ layers }) => layers.has(diffId))?.layers.get(diffId)?.descriptor
  }

  /**
   * Brings a layer that some cache has into the store, verified; does nothing for one that none has. A cache that gives
   * it wrong is dropped, the steps of one that it does not have are. Throws what the last of them failed with, then.
   */
  async bring(diffId: Digest): Promise<void> {
    let brought = this.#brought.get(diffId)
    if (brought === undefined) this.#brought.set(diffId, (brought = this.#slots.run(() => this.#bring(diffId))))
    await brought
  }

  async #bring(diffId: Digest): Promise<void> {
    let failure: CairnError | undefined
    for (const cache of this.#usable) {
      const offered = cache.layers.get(diffId)
      if (offered === undefined) continue
      try {
        await this.#fetch(cache.source, offered)
        return
      } catch (error) {
        if (!isCairnError(error) || error.kind === 'canceled' || error.code === 'DISK_FULL') throw error
        if (isCairnError(error, 'BLOB_UNKNOWN')) this.#forget(cache, diffId, error)
        else this.#drop(cache, error)
        failure = error
      }
    }
    this.#brought.delete(diffId)
    if (failure !== undefined) throw failure
  }

  async #fetch(source: CacheSource, { layer, descriptor }: OfferedLayer): Promise<void> {
    const { store, lease } = this.#options
    const { digest, size } = descriptor
    if (size > store.limits.layerBytes)
      throw new CairnError('LIMIT_EXCEEDED', `layer ${digest} has ${size} bytes, more than ${store.limits.layerBytes}`)
    lease.protect(layerNode(layer.diffId), blobNode(digest))
    await source.fetch(descriptor)
    await this.#verify(layer, descriptor)
  }

  /** Reads a layer of the store to its end: it has to be what the cache says. Records it then. */
  async #verify(layer: CacheLayer, descriptor: Descriptor): Promise<void> {
    const { store } = this.#options
    const content = new ContentScan()
    const open = (): ReturnType<typeof store.blobs.open> => store.blobs.open(descriptor.digest)
    const { record, scan } = await scanLayer(
      { descriptor, diffId: layer.diffId },
      open,
      store.limits,
      undefined,
      content,
    )
    // A layer that counts by its diff ID has been verified by now.
    const isVerified = layer.contentDigest === layer.diffId || content.digest() === layer.contentDigest
    if (!isVerified || (layer.contentDigest !== layer.diffId && record.unpackedSize !== layer.size))
      throw new CairnError('CACHE_INVALID', `layer ${layer.diffId} has not the content that the cache says it has`)
    this.#demands.set(layer.diffId, scan.demands)
    putLayerRecord(store, record)
  }

  /**
   * Verifies what was used of the caches without being fetched, since the store has it from elsewhere: that the layers
   * of `steps` have the content that the caches say. Throws CACHE_INVALID; the cache is dropped then.
   */
  async verify(steps: readonly CachedStep[]): Promise<void> {
    const { store, lease } = this.#options
    for (const { layer } of new Set(steps.map(({ result }) => result))) {
      if (this.#brought.has(layer.diffId)) continue
      lease.protect(layerNode(layer.diffId))
      const [form] = listLayerForms(store, layer.diffId)
      if (form === undefined) continue
      const descriptor = { mediaType: '', digest: form.digest, size: form.size }
      try {
        await this.#verify(layer, descriptor)
        this.#brought.set(layer.diffId, Promise.resolve())
      } catch (error) {
        if (isCairnError(error, 'CACHE_INVALID'))
          for (const cache of this.#usable)
            if (cache.layers.get(layer.diffId)?.layer.contentDigest === layer.contentDigest) this.#drop(cache, error)
        throw error
      }
    }
  }

  /** True for a layer that was verified. */
  isVerified(diffId: Digest): boolean {
    return this.#brought.has(diffId)
  }

  /**
   * Checks what the layers of one image that were brought take for granted of those below. Throws LAYER_UNSAFE or
   * TAR_INVALID; the caches that offer the layer are dropped then.
   */
  async checkStack(
    diffIds: readonly Digest[],
    trees: (diffIds: readonly Digest[]) => Promise<readonly LayerTree[]>,
  ): Promise<void> {
    for (const [index, diffId] of diffIds.entries()) {
      const demands = this.#demands.get(diffId) ?? []
      if (demands.length === 0) continue
      try {
        checkDemands(`layer ${diffId}`, demands, stackTree(await trees(diffIds.slice(0, index))))
      } catch (error) {
        for (const cache of this.#usable) if (cache.layers.has(diffId) && isCairnError(error)) this.#drop(cache, error)
        throw error
      }
    }
  }

  /** A layer that registry or user have removed costs the steps that it is of, and no others. */
  #forget(cache: ImportedCache, diffId: Digest, error: CairnError): void {
    cache.forget(diffId)
    this.dropped++
    if (!cache.isIncomplete) this.#options.warn(`cache ${cache.name} is not complete: ${error.message}`)
    cache.isIncomplete = true
  }

  #drop(cache: ImportedCache, error: CairnError): void {
    if (cache.isDropped) return
    cache.isDropped = true
    this.dropped++
    this.#options.warn(`cache ${cache.name} is not used: ${error.message}`)
  }
}
