import { BuildCache, type CachedResult, type CachedStep } from './cache.ts'
import type { CacheKey } from './cache-key.ts'

/** What a build that keeps nothing has in place of the store's: it goes when the trial is over. */
export interface Trial {
  /** Directory for the files of cache mounts, which begin empty. */
  readonly cacheMounts: string
  /** What is to be removed. */
  readonly leftovers: DisposableStack
}

/** The cache of a {@link Trial}: never a hit, and what is put into it is seen by {@link step} alone. */
export class TrialCache extends BuildCache {
  readonly #made = new Map<CacheKey, CachedStep>()

  override prepare(): void {
    // There is nothing to be protected.
  }

  override get(): undefined {
    return undefined
  }

  override has(): boolean {
    return false
  }

  override wasPruned(): boolean {
    return false
  }

  override hasDefinition(): boolean {
    return false
  }

  override put(keys: readonly CacheKey[], result: CachedResult): void {
    for (const key of keys) this.#made.set(key, { keys, definition: '', result })
  }

  override step(key: CacheKey): CachedStep | undefined {
    return this.#made.get(key)
  }
}
