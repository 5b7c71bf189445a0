import { type CacheMount, isCacheMountUsed, listCacheMounts } from '../../content/cache-mounts.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { checkFilters, type Filters } from '../filters.ts'
import { untilFilter } from '../moment.ts'

/**
 * The cache mounts that suit `filters`, the one used last first: `id` is the id in the Dockerfile, `until` a moment since
 * which nobody has used it. Throws USAGE (status 1) for filters that are wrong.
 *
 * @param now - milliseconds since 1970
 */
export function findCacheMounts(store: Store, filters: Filters = new Map(), now = Date.now()): CacheMount[] {
  checkFilters(filters, ['id', 'until'])
  const ids = filters.get('id') ?? []
  const isOld = untilFilter(filters, now)
  return listCacheMounts(store)
    .filter(({ id }) => ids.length === 0 || ids.includes(id))
    .filter(({ usedAt }) => isOld(usedAt))
}

/** True while a step uses it, so that it cannot be removed. */
export function isInUse(store: Store, { name }: CacheMount): boolean {
  return isCacheMountUsed(store, name)
}

/** Characters of a name that are enough to show, and the fewest that name a cache mount. */
export const shownNameLength = 12
const shortestName = 4

/** The cache mounts that `text` means: those with this id, else the one whose name begins so. Throws CACHE_UNKNOWN. */
export function cacheMountsNamed(store: Store, text: string): readonly CacheMount[] {
  const mounts = listCacheMounts(store)
  const byId = mounts.filter(({ id }) => id === text)
  if (byId.length > 0) return byId
  const exact = mounts.filter(({ name }) => name === text)
  const byName =
    exact.length > 0 ? exact : text.length < shortestName ? [] : mounts.filter(({ name }) => name.startsWith(text))
  if (byName.length === 1) return byName
  if (byName.length > 1) throw ambiguous(text, byName)
  throw new CairnError('CACHE_UNKNOWN', `no such cache mount: ${text}`, {
    hint: 'See `cairn cache ls` for their ids and names.',
  })
}

/** The one cache mount that `text` means. Throws CACHE_UNKNOWN, CACHE_AMBIGUOUS. */
export function cacheMountNamed(store: Store, text: string): CacheMount {
  const [mount, ...others] = cacheMountsNamed(store, text)
  if (mount === undefined || others.length > 0) throw ambiguous(text, cacheMountsNamed(store, text))
  return mount
}

function ambiguous(text: string, mounts: readonly CacheMount[]): CairnError {
  return new CairnError('CACHE_AMBIGUOUS', `several cache mounts are called ${text}`, {
    hint: `Give one of their names: ${mounts.map(({ name }) => name).join(', ')}.`,
  })
}
