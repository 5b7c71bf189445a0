import type { Store } from '../../content/store.ts'
import { usageError } from '../../errors/error.ts'
import type { Removal } from '../../images/records/remove-image.ts'
import type { BuildCacheRecord } from './build-cache-records.ts'
import { checkFilters, type Filters } from '../filters.ts'
import { dropUnpackedLayers } from './drop-unpacked-layers.ts'
import { pruneBuildCache } from './prune-build-cache.ts'
import { pruneImages } from '../images/prune-images.ts'
import { pruneContainers } from '../containers/remove-containers.ts'
import { pruneNetworks } from '../containers/networks.ts'
import { pruneVolumes } from '../containers/volumes.ts'

export interface PruneEverythingOptions {
  /** Also images that have names, and results of steps whose layer an image has. */
  readonly all?: boolean
  /** Also volumes without a name that no container has. */
  readonly volumes?: boolean
  /** `label`, `label!`, `until`. */
  readonly filters?: Filters
  readonly signal?: AbortSignal
}

export interface PrunedEverything {
  readonly containers: readonly string[]
  readonly networks: readonly string[]
  readonly volumes: readonly string[]
  readonly images: readonly Removal[]
  readonly records: readonly BuildCacheRecord[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/**
 * Removes what is not used, in docker's order: containers that do not run, networks, volumes without a name, images with the unpacked copies of layers
 * that no container has, build cache. Labels are those of containers, volumes and images; the build cache has none. Throws USAGE (status 1) for filters that
 * are wrong, CANCELED.
 */
export async function pruneEverything(store: Store, options: PruneEverythingOptions = {}): Promise<PrunedEverything> {
  const { all = false, volumes = false, filters = new Map<string, readonly string[]>(), signal } = options
  checkPruneFilters(filters, volumes)
  const only = (...names: readonly string[]): Filters => new Map([...filters].filter(([name]) => names.includes(name)))
  const stop = signal === undefined ? {} : { signal }
  const stopped = await pruneContainers(store, filters)
  const networks = pruneNetworks(store, filters)
  const unused = volumes ? pruneVolumes(store, { filters: only('label', 'label!') }) : { names: [], reclaimed: 0 }
  const images = await pruneImages(store, { all, filters, ...stop })
  const unpacked = dropUnpackedLayers(store)
  const cache = await pruneBuildCache(store, { all, filters: only('until'), ...stop })
  return {
    containers: stopped.containers,
    networks,
    volumes: unused.names,
    images: images.removals,
    records: cache.records,
    reclaimed: stopped.reclaimed + unused.reclaimed + images.reclaimed + unpacked + cache.reclaimed,
  }
}

/** To be called before the user is asked. Throws USAGE (status 1). */
export function checkPruneFilters(filters: Filters, volumes: boolean): void {
  if (volumes && filters.has('until')) throw usageError('The "until" filter is not supported with "--volumes"')
  checkFilters(filters, ['label', 'label!', 'until'])
}
