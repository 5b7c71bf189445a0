import { deleteCacheRecords, listCacheRecords } from '../../content/cache-records.ts'
import { recordEvent } from '../../content/events.ts'
import { forgetFetchedFiles } from '../../content/fetched-files.ts'
import { collectGarbage } from '../../content/gc.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { freeSpace } from '../../linux/free-space.ts'
import { removeFile } from '../../linux/names.ts'
import { removeMirror } from '../../remote/git-mirror.ts'
import { buildCacheFilter } from './build-cache-filters.ts'
import { type BuildCacheRecord, buildCacheRecords } from './build-cache-records.ts'
import type { Filters } from '../filters.ts'
import { removeUnusedCacheMount } from './remove-cache-mounts.ts'

/** How much may stay, all in bytes; 0 is no such limit. */
export interface KeptSpace {
  /** What is kept in any case. */
  readonly reserved?: number
  /** What is kept at most. */
  readonly maxUsed?: number
  /** Free space of the file system that is to be reached. */
  readonly minFree?: number
}

export interface PruneBuildCacheOptions {
  /** Also results whose layer an image has: that frees nothing, but the steps run again. */
  readonly all?: boolean
  /** See {@link buildCacheFilter}. */
  readonly filters?: Filters
  readonly space?: KeptSpace
  /** Milliseconds since 1970. */
  readonly now?: number
  readonly signal?: AbortSignal
}

export interface PrunedBuildCache {
  /** What was removed, the one unused for longest first. */
  readonly records: readonly BuildCacheRecord[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/**
 * Removes what is kept for later builds (results of steps, cache mounts, what was fetched, indexes of contexts) that no
 * build is using, the one unused for longest first, until no more than `space` allows is left. Throws USAGE (status 1)
 * for filters that are wrong, CANCELED.
 */
export async function pruneBuildCache(store: Store, options: PruneBuildCacheOptions = {}): Promise<PrunedBuildCache> {
  const { all = false, filters = new Map<string, readonly string[]>(), space = {}, now = Date.now(), signal } = options
  const suits = buildCacheFilter(filters, now)
  recover(store)
  const known = buildCacheRecords(store)
  const wanted = known.filter((record) => !record.isInUse && (all || !record.isShared) && suits(record)).toReversed()
  const total = privateSize(known)
  const keep = bytesToKeep(total, freeSpace(store.root).bytes, space)
  const records: BuildCacheRecord[] = []
  let left = total
  let reclaimed = 0
  for (const record of keep === 0 || left > keep ? wanted : []) {
    if (keep > 0 && left <= keep) break
    const freed = remove(store, record)
    if (freed === undefined) continue
    reclaimed += freed
    left -= privateSize([record])
    records.push(record)
  }
  // What says only that such a step was ever run.
  if (all && filters.size === 0 && keep === 0)
    deleteCacheRecords(
      store,
      listCacheRecords(store).map(({ key }) => key),
    )
  const { reclaimed: collected } = await collectGarbage(store, signal === undefined ? {} : { signal })
  recordEvent(store, 'builder', 'prune', '', { reclaimed: String(reclaimed + collected) })
  return { records, reclaimed: reclaimed + collected }
}

/** Bytes of the records that nothing but the build cache keeps. */
function privateSize(records: readonly BuildCacheRecord[]): number {
  return records.reduce((total, { size, isShared }) => total + (isShared ? 0 : size), 0)
}

/** How many bytes of `total` stay, 0 where there is no limit at all (BuildKit, cache manager, calculateKeepBytes). */
function bytesToKeep(total: number, free: number, { reserved = 0, maxUsed = 0, minFree = 0 }: KeptSpace): number {
  const excess = minFree - free
  const needed = excess <= 0 ? maxUsed : maxUsed === 0 ? total - excess : Math.min(maxUsed, total - excess)
  return Math.max(needed, reserved)
}

/** Bytes freed at once, undefined for what is in use. What results of steps keep is left to garbage collection. */
function remove(store: Store, { kept, size }: BuildCacheRecord): number | undefined {
  switch (kept.kind) {
    case 'steps':
      deleteCacheRecords(store, kept.keys)
      return 0
    case 'fetched':
      forgetFetchedFiles(store, [kept])
      return 0
    case 'mirror':
      return removeMirror(store, kept.name)
    case 'context':
      removeFile(kept.path)
      return size
    case 'mount':
      return removeUnusedCacheMount(store, kept.mount)
  }
}
