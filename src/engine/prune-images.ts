import { containersOfImage } from '../containers/container-records.ts'
import { recoverContainers } from '../containers/recovery.ts'
import { recordEvent } from '../content/events.ts'
import { collectGarbage } from '../content/gc.ts'
import { listTags } from '../content/image-records.ts'
import type { Store } from '../content/store.ts'
import type { ImageSummary } from '../images/list-images.ts'
import { forgetNameless, type Removal, removeImage } from '../images/remove-image.ts'
import { booleanFilter, checkFilters, type Filters } from './filters.ts'
import { findImages } from './list-images.ts'

export interface PruneImagesOptions {
  /** Also images that have names. */
  readonly all?: boolean
  /** `label`, `label!`, `until`, and `dangling` in place of `all`. */
  readonly filters?: Filters
  readonly signal?: AbortSignal
}

export interface PrunedImages {
  readonly removals: readonly Removal[]
  /** Bytes freed: blobs and unpacked layers that nothing else needs. */
  readonly reclaimed: number
}

/**
 * Removes the images that have no name (with `all` also the others) and that no container was made from, then frees
 * what nothing else needs. Throws USAGE (status 1) for filters that are wrong, CANCELED.
 */
export async function pruneImages(store: Store, options: PruneImagesOptions = {}): Promise<PrunedImages> {
  const { all = false, filters = new Map<string, readonly string[]>(), signal } = options
  checkFilters(filters, ['dangling', 'label', 'label!', 'until'])
  const onlyDangling = booleanFilter(filters, 'dangling') ?? !all
  const selection = new Map([...filters].filter(([name]) => name !== 'dangling'))
  recoverContainers(store)
  const removals = findImages(store, selection).flatMap((image) => pruneImage(store, image, onlyDangling))
  const { reclaimed } = await collectGarbage(store, signal === undefined ? {} : { signal })
  recordEvent(store, 'image', 'prune', '', { reclaimed: String(reclaimed) })
  return { removals, reclaimed }
}

/** Decided and done at once: another process may name the image, or make a container of it, just now. */
function pruneImage(store: Store, { imageId, targets }: ImageSummary, onlyDangling: boolean): readonly Removal[] {
  return store.database.transaction(() => {
    // What names have left behind of an image that has others is garbage that no list shows.
    forgetNameless(store, targets)
    const isNamed = targets.some(({ digest }) => listTags(store, digest).length > 0)
    if ((onlyDangling && isNamed) || containersOfImage(store, imageId).length > 0) return []
    return removeImage(store, imageId, { force: true })
  })
}
