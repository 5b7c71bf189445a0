import { deleteCacheRecords } from '../content/cache-records.ts'
import { recordEvent } from '../content/events.ts'
import { forgetFetchedFiles } from '../content/fetched-files.ts'
import { collectGarbage } from '../content/gc.ts'
import { listImageLayers } from '../content/manifest-records.ts'
import type { Store } from '../content/store.ts'
import { pruneMirrors } from '../remote/git-mirror.ts'
import { CairnError } from '../errors/error.ts'
import { checkFilters, type Filters } from './filters.ts'
import { cachedSteps } from './layer-usage.ts'
import { parseMoment } from './moment.ts'
import { pruneCacheMounts } from './remove-cache-mounts.ts'

export interface PruneBuildCacheOptions {
  /** Also results whose layer an image has: that frees nothing, but the steps run again. */
  readonly all?: boolean
  /**
   * `until`: only what was not used since a moment. `type`: `regular`, the default, is results and what was fetched,
   * `exec.cachemount` the directories of cache mounts instead.
   */
  readonly filters?: Filters
  /** Milliseconds since 1970. */
  readonly now?: number
  readonly signal?: AbortSignal
}

export interface PrunedBuildCache {
  /** Keys of the steps whose results were forgotten, names of cache mounts that were removed. */
  readonly keys: readonly string[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/**
 * Forgets results of build steps and what was fetched for builds, and frees what only they kept. Directories of cache
 * mounts stay unless they are asked for. Throws USAGE (status 1) for filters that are wrong, CANCELED.
 */
export async function pruneBuildCache(store: Store, options: PruneBuildCacheOptions = {}): Promise<PrunedBuildCache> {
  const { all = false, filters = new Map<string, readonly string[]>(), now = Date.now(), signal } = options
  checkFilters(filters, ['until', 'type'])
  if (wantsCacheMounts(filters)) {
    const { mounts, reclaimed } = pruneCacheMounts(store, new Map([['until', filters.get('until') ?? []]]), now)
    return { keys: mounts.map(({ name }) => name), reclaimed }
  }
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
  recordEvent(store, 'builder', 'prune', '', { reclaimed: String(reclaimed + mirrors) })
  return { keys, reclaimed: reclaimed + mirrors }
}

function wantsCacheMounts(filters: Filters): boolean {
  const types = new Set(filters.get('type') ?? [])
  const unknown = [...types].find((type) => type !== 'regular' && type !== 'exec.cachemount')
  if (unknown !== undefined)
    throw new CairnError('USAGE', `invalid filter 'type=${unknown}'`, {
      exitCode: 1,
      hint: 'Types here are regular and exec.cachemount.',
    })
  if (types.size > 1)
    throw new CairnError('USAGE', 'only one type of build cache can be pruned at a time', { exitCode: 1 })
  return types.has('exec.cachemount')
}
