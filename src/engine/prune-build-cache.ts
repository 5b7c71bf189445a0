import { deleteCacheRecords } from '../content/cache-records.ts'
import { forgetFetchedFiles } from '../content/fetched-files.ts'
import { collectGarbage } from '../content/gc.ts'
import { listImageLayers } from '../content/manifest-records.ts'
import type { Store } from '../content/store.ts'
import { pruneMirrors } from '../remote/git-mirror.ts'
import { checkFilters, type Filters } from './filters.ts'
import { cachedSteps } from './layer-usage.ts'
import { parseMoment } from './moment.ts'

export interface PruneBuildCacheOptions {
  /** Also results whose layer an image has: that frees nothing, but the steps run again. */
  readonly all?: boolean
  /** `until`: only what was not used since a moment. */
  readonly filters?: Filters
  /** Milliseconds since 1970. */
  readonly now?: number
  readonly signal?: AbortSignal
}

export interface PrunedBuildCache {
  /** Keys of the steps whose results were forgotten. */
  readonly keys: readonly string[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/**
 * Forgets results of build steps and what was fetched for builds, and frees what only they kept. Directories of cache
 * mounts stay: a step that uses one may be running. Throws USAGE (status 1) for filters that are wrong, CANCELED.
 */
export async function pruneBuildCache(store: Store, options: PruneBuildCacheOptions = {}): Promise<PrunedBuildCache> {
  const { all = false, filters = new Map<string, readonly string[]>(), now = Date.now(), signal } = options
  checkFilters(filters, ['until'])
  const limits = (filters.get('until') ?? []).map((text) => parseMoment(text, now))
  const layers = new Set([...listImageLayers(store).values()].flatMap((own) => [...own]))
  const keys = cachedSteps(store)
    .filter(({ usedAt }) => limits.every((limit) => BigInt(usedAt) * 1_000_000n < limit))
    .filter(({ layer }) => all || (layer !== undefined && !layers.has(layer)))
    .map(({ key }) => key)
  deleteCacheRecords(store, keys)
  const moment = limits.reduce((least, limit) => Math.min(least, Number(limit / 1_000_000n)), Number.MAX_SAFE_INTEGER)
  forgetFetchedFiles(store, moment)
  const mirrors = pruneMirrors(store, moment)
  const { reclaimed } = await collectGarbage(store, signal === undefined ? {} : { signal })
  return { keys, reclaimed: reclaimed + mirrors }
}
