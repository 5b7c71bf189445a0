import { getCacheRecord, putCacheRecord } from '../content/cache-records.ts'
import { layerNode } from '../content/graph.ts'
import { findSnapshot } from '../content/snapshot-records.ts'
import { listLayerForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
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

/** Results of steps by key, in the store. */
export class BuildCache {
  readonly #store: Store
  readonly #lease: Lease

  constructor(store: Store, lease: Lease) {
    this.#store = store
    this.#lease = lease
  }

  /** Protects what is recorded under any of `keys`, all at once: {@link get} then has little left to do for them. */
  prepare(keys: readonly CacheKey[]): void {
    const records = keys.map((key) => getCacheRecord(this.#store, key)).filter((record) => record !== undefined)
    const layers = records.map(({ result }) => layerNode((result as CachedResult).layer.diffId))
    if (layers.length > 0) this.#lease.protect(...layers)
  }

  /** The result under `key`, if its layer is still in the store; it then stays while this build runs. */
  get(key: CacheKey): CachedResult | undefined {
    const record = getCacheRecord(this.#store, key)
    if (record === undefined) return undefined
    const result = record.result as CachedResult
    this.#lease.protect(layerNode(result.layer.diffId))
    return this.#isPresent(result) ? result : undefined
  }

  /** True when there is a result under `key` and its layer is in the store. */
  has(key: CacheKey): boolean {
    const record = getCacheRecord(this.#store, key)
    return record !== undefined && this.#isPresent(record.result as CachedResult)
  }

  /** True when there is a record but its layer was removed. */
  wasPruned(key: CacheKey): boolean {
    const record = getCacheRecord(this.#store, key)
    return record !== undefined && !this.#isPresent(record.result as CachedResult)
  }

  /** Keeps a result under all of `keys`. */
  put(keys: readonly CacheKey[], result: CachedResult, inputs: StepInputs): void {
    for (const key of new Set(keys))
      putCacheRecord(this.#store, { key, result, inputs: {} }, [layerNode(result.layer.diffId)])
    putCacheRecord(this.#store, { key: definitionKey(inputs), result: {}, inputs: {} }, [])
  }

  /** True when a step that says the same was ever run, on whatever it ran: only then can content decide. */
  hasDefinition(inputs: StepInputs): boolean {
    return getCacheRecord(this.#store, definitionKey(inputs)) !== undefined
  }

  #isPresent(result: CachedResult): boolean {
    const { diffId } = result.layer
    return listLayerForms(this.#store, diffId).length > 0 || findSnapshot(this.#store, diffId) !== undefined
  }
}

function definitionKey(inputs: StepInputs): CacheKey {
  const { kind, definition, env, platform, epoch } = inputs
  const text = canonicalJson({ kind, definition, env, platform, epoch })
  return `definition-${new Bun.CryptoHasher('sha256').update(text).digest('hex')}`
}
