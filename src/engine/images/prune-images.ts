import { containersOfImage } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { recordEvent } from '../../content/events.ts'
import { collectGarbage } from '../../content/gc.ts'
import { listTags } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import type { ImageSummary } from '../../images/records/list-images.ts'
import { forgetNameless, type Removal, removeImage } from '../../images/records/remove-image.ts'
import { usageError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import { booleanFilter, checkFilters, type Filters } from '../filters.ts'
import { FreedLayers } from '../store/freed-layers.ts'
import { findImages } from './list-images.ts'

export interface PruneImagesOptions {
  /** Also images that have names. */
  readonly all?: boolean
  /** `label`, `label!`, `until`, and `dangling`, which must say the same as `all`. */
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
  if ((filters.get('until')?.length ?? 0) > 1) throw usageError('more than one until filter specified')
  // As docker has it: `all` is the filter dangling=false, and the two must not contradict each other.
  const dangling = [...(filters.get('dangling') ?? []), String(!all)]
  const onlyDangling = booleanFilter(new Map([['dangling', dangling]]), 'dangling') === true
  const selection = new Map([...filters].filter(([name]) => name !== 'dangling'))
  recoverContainers(store)
  const removals = findImages(store, selection).flatMap((image) => pruneImage(store, image, onlyDangling))
  const layers = removals.map((removal) => new FreedLayers(store, 'deleted' in removal ? removal.targets : []))
  const { reclaimed } = await collectGarbage(store, signal === undefined ? {} : { signal })
  recordEvent(store, 'image', 'prune', '', { reclaimed: String(reclaimed) })
  return { removals: withLayers(removals, layers), reclaimed }
}

/** Each layer that went stands behind the last image that had it. */
function withLayers(removals: readonly Removal[], layers: readonly FreedLayers[]): Removal[] {
  const told = new Set<Digest>()
  const groups = removals.toReversed().map((removal, index) => {
    const gone = (layers[removals.length - 1 - index]?.chainIds() ?? []).filter((chainId) => !told.has(chainId))
    for (const chainId of gone) told.add(chainId)
    return [removal, ...gone.map((deleted) => ({ deleted, targets: [] }))]
  })
  return groups.toReversed().flat()
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
