import { getCacheRecord, listCacheResults, putCacheRecord, touchCacheRecords } from '../content/cache-records.ts'
import { layerNode } from '../content/graph.ts'
import { findSnapshot } from '../content/snapshot-records.ts'
import { listLayerForms, preferredForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { CacheKey, StepInputs } from './cache-key.ts'
import { canonicalJson } from './cache-key.ts'
import type { PackedLayer } from './layer.ts'

/** What a step gave: its own layer, and the identity of the whole filesystem by content. */
export interface CachedResult {
  readonly layer: PackedLayer
  /** Digest over the content of all layers up to this one. */
  readonly contentId: string
  /** The same of the filesystem it was made on. */
  readonly parentContentId: string
}

/** Content identity of the filesystem without files. */
export const emptyContentId = 'scratch'

/** Content identity of a filesystem: that of the one below it with one more layer. */
export function contentIdOf(below: string, contentDigest: Digest): string {
  return digestOf(`${below} ${contentDigest}`)
}

/** A step's result with all that it is found by. */
export interface CachedStep {
  /** By definition and by content. */
  readonly keys: readonly CacheKey[]
  /** What {@link BuildCache.hasDefinition} looks for. */
  readonly definition: string
  readonly result: CachedResult
  /** The imported cache that it comes from, as the user calls it. */
  readonly origin?: string
}

/** Results from elsewhere, whose layers need not be in the store. */
export interface ImportedResults {
  find(key: CacheKey): CachedStep | undefined
  hasDefinition(definition: string): boolean
}

/** Results of steps by key, in the store and in caches that were imported. */
export class BuildCache {
  readonly #store: Store
  readonly #lease: Lease
  readonly #imported: ImportedResults | undefined
  /** Results of {@link prepare} whose layers are in the store, and stay. */
  readonly #prepared = new Map<CacheKey, CachedResult>()
  /** What imported results were used, or are to be kept under further keys. */
  readonly #borrowed = new Map<CacheKey, CachedStep>()

  constructor(store: Store, lease: Lease, imported?: ImportedResults) {
    this.#store = store
    this.#lease = lease
    this.#imported = imported
  }

  /** Protects what is recorded under any of `keys`, and notes its use, all at once: {@link get} has nothing left to do then. */
  prepare(keys: readonly CacheKey[]): void {
    const records = listCacheResults(this.#store, keys)
    if (records.length === 0) return
    const results = records.map(({ key, result }) => ({ key, result: result as CachedResult }))
    const layers = results.map(({ result }) => result.layer.diffId)
    this.#lease.protect(...layers.map(layerNode))
    const present = preferredForms(this.#store, layers)
    for (const { key, result } of results) if (present.has(result.layer.diffId)) this.#prepared.set(key, result)
    touchCacheRecords(
      this.#store,
      records.filter(({ key }) => this.#prepared.has(key)),
    )
  }

  /**
   * The result under `key`, if its layer is still in the store, where it then stays while this build runs; else that of an
   * imported cache.
   */
  get(key: CacheKey): CachedResult | undefined {
    const result = this.#stored(key)
    if (result !== undefined) return result
    const imported = this.#borrowed.get(key) ?? this.#imported?.find(key)
    if (imported !== undefined) this.#borrowed.set(key, imported)
    return imported?.result
  }

  /** True when there is a result under `key` that could be used. */
  has(key: CacheKey): boolean {
    const record = getCacheRecord(this.#store, key)
    if (record !== undefined && this.#isPresent(record.result as CachedResult)) return true
    return this.#imported?.find(key) !== undefined
  }

  /** Content identity of what the result under `key` was made on, also where its layer was removed. */
  madeOn(key: CacheKey): string | undefined {
    const result = getCacheRecord(this.#store, key)?.result as CachedResult | undefined
    return (result ?? this.#imported?.find(key)?.result)?.parentContentId
  }

  /** True when there is a record but its layer was removed. */
  wasPruned(key: CacheKey): boolean {
    const record = getCacheRecord(this.#store, key)
    return record !== undefined && !this.#isPresent(record.result as CachedResult)
  }

  /** Keeps a result under all of `keys`; one whose layer is elsewhere is {@link borrowed} as yet. */
  put(keys: readonly CacheKey[], result: CachedResult, inputs: StepInputs): void {
    const others = keys.flatMap((key) => this.#borrowed.get(key)?.keys ?? [])
    const step: CachedStep = { keys: [...new Set([...keys, ...others])], definition: definitionKey(inputs), result }
    if (this.#isPresent(result)) this.#record(step)
    else for (const key of step.keys) this.#borrowed.set(key, step)
  }

  /** True when a step that says the same was ever run, on whatever it ran: only then can content decide. */
  hasDefinition(inputs: StepInputs): boolean {
    const key = definitionKey(inputs)
    return getCacheRecord(this.#store, key) !== undefined || this.#imported?.hasDefinition(key) === true
  }

  /** The imported cache that a result of {@link get} comes from, undefined for one of the store. */
  originOf(result: CachedResult): string | undefined {
    for (const step of this.#borrowed.values()) if (step.result === result) return step.origin
    return undefined
  }

  /** Imported results that were used. */
  get borrowed(): readonly CachedStep[] {
    return [...new Set(this.#borrowed.values())]
  }

  /** Records imported results whose layers are in the store by now, as if they were made here. */
  keep(steps: readonly CachedStep[]): void {
    for (const step of steps) this.#lease.protect(layerNode(step.result.layer.diffId))
    this.#store.database.transaction(() => {
      for (const step of steps) if (this.#isPresent(step.result)) this.#record(step)
    })
  }

  /** The result under `key` with all that it is found by, for whoever takes it elsewhere. */
  step(key: CacheKey): CachedStep | undefined {
    const result = this.#stored(key)
    if (result === undefined) return this.#borrowed.get(key) ?? this.#imported?.find(key)
    const { keys = [key], definition = '' } = (getCacheRecord(this.#store, key)?.inputs ?? {}) as Partial<CachedStep>
    return { keys, definition, result }
  }

  #stored(key: CacheKey): CachedResult | undefined {
    const prepared = this.#prepared.get(key)
    if (prepared !== undefined) return prepared
    const record = getCacheRecord(this.#store, key)
    if (record === undefined) return undefined
    const result = record.result as CachedResult
    this.#lease.protect(layerNode(result.layer.diffId))
    if (!this.#isPresent(result)) return undefined
    touchCacheRecords(this.#store, [record])
    return result
  }

  #record({ keys, definition, result }: CachedStep): void {
    for (const key of keys)
      putCacheRecord(this.#store, { key, result, inputs: { keys, definition } }, [layerNode(result.layer.diffId)])
    putCacheRecord(this.#store, { key: definition, result: {}, inputs: {} }, [])
  }

  #isPresent(result: CachedResult): boolean {
    const { diffId } = result.layer
    return listLayerForms(this.#store, diffId).length > 0 || findSnapshot(this.#store, diffId) !== undefined
  }
}

/** What a step says, on whatever it runs: the key of {@link BuildCache.hasDefinition}. */
export function definitionKey(inputs: StepInputs): CacheKey {
  const { kind, definition, env, platform, epoch } = inputs
  const text = canonicalJson({ kind, definition, env, platform, epoch })
  return `definition-${new Bun.CryptoHasher('sha256').update(text).digest('hex')}`
}
