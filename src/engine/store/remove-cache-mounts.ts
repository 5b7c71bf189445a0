import { type CacheMount, removeCacheMount, tryHoldCacheMount } from '../../content/cache-mounts.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { treeSize } from '../../linux/tree-size.ts'
import type { Filters } from '../filters.ts'
import { cacheMountsNamed, findCacheMounts, shownNameLength } from './list-cache-mounts.ts'

/**
 * Removes cache mounts by id or name, as many as it can; an id stands for all that have it. Gives the failures:
 * CACHE_UNKNOWN, CACHE_AMBIGUOUS, CACHE_IN_USE.
 */
export function removeCacheMounts(
  store: Store,
  texts: readonly string[],
  onRemoval: (text: string) => void,
): CairnError[] {
  recover(store)
  const failures: CairnError[] = []
  for (const text of texts)
    try {
      for (const mount of cacheMountsNamed(store, text)) if (!tryRemove(store, mount)) throw inUse(mount)
      onRemoval(text)
    } catch (error) {
      if (!isCairnError(error)) throw error
      failures.push(error)
    }
  return failures
}

/** What {@link pruneCacheMounts} removed. */
export interface PrunedCacheMounts {
  readonly mounts: readonly CacheMount[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/** Removes every cache mount that suits `filters` and that no step uses. Throws USAGE (status 1). */
export function pruneCacheMounts(store: Store, filters: Filters, now = Date.now()): PrunedCacheMounts {
  recover(store)
  const mounts: CacheMount[] = []
  let reclaimed = 0
  for (const mount of findCacheMounts(store, filters, now)) {
    const freed = removeUnusedCacheMount(store, mount)
    if (freed === undefined) continue
    mounts.push(mount)
    reclaimed += freed
  }
  return { mounts, reclaimed }
}

/** Removes a cache mount unless a step uses it. Gives the bytes freed, undefined where it stays. */
export function removeUnusedCacheMount(store: Store, mount: CacheMount): number | undefined {
  const size = cacheMountSize(store, mount)
  return tryRemove(store, mount) ? size : undefined
}

/** Bytes on the disk of a cache mount, with its record. */
export function cacheMountSize(store: Store, { name }: CacheMount): number {
  return treeSize(store.path('cache', 'mounts', name))
}

/** False for one that a step uses. */
function tryRemove(store: Store, { name }: CacheMount): boolean {
  const held = tryHoldCacheMount(store, name)
  if (held === undefined) return false
  try {
    removeCacheMount(store, held)
  } finally {
    held.lock.release()
  }
  return true
}

function inUse({ id, name }: CacheMount): CairnError {
  return new CairnError('CACHE_IN_USE', `the cache mount ${id} (${name.slice(0, shownNameLength)}) is in use`, {
    hint: 'A build is using it: wait for its end, or stop it.',
  })
}
