import { isActive } from '../../containers/container.ts'
import { listContainerRecords, recordSettings, resolveContainer } from '../../containers/container-records.ts'
import { stopLingering } from '../../containers/lingering-network.ts'
import { writtenSize } from '../../containers/written-size.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { removeContainer, type RemoveOptions } from '../../containers/remove-container.ts'
import { recordEvent } from '../../content/events.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { checkFilters, type Filters, suitsLabels } from '../filters.ts'
import { untilFilter } from '../moment.ts'

export interface RemoveContainersOptions extends RemoveOptions {
  readonly signal?: AbortSignal
  /** Told of each container that went, by the name it was given by. */
  readonly onRemoval: (name: string) => void
}

/**
 * Removes containers by name or ID, each on its own. Gives the failures in the order of `names`: those of the others
 * are done. What is not there when `force` is set is told as a failure without counting as one: `isIgnored`. Throws
 * CANCELED.
 */
export async function removeContainers(
  store: Store,
  names: readonly string[],
  { onRemoval, signal, ...options }: RemoveContainersOptions,
): Promise<readonly { readonly error: CairnError; readonly isIgnored: boolean }[]> {
  stopLingering(store)
  recoverContainers(store)
  const failures: { error: CairnError; isIgnored: boolean }[] = []
  for (const name of names) {
    try {
      await removeContainer(store, resolveContainer(store, name), options, signal)
      onRemoval(name)
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push({ error, isIgnored: options.force === true && error.code === 'CONTAINER_UNKNOWN' })
    }
  }
  return failures
}

/** Takes a link, given as `CONTAINER/ALIAS`, from a container. Throws CONTAINER_UNKNOWN, CONFIG_INVALID. */
export function removeLink(store: Store, text: string): void {
  const [, name, alias = ''] = /^\/?([^/]+)\/(.+)$/.exec(text) ?? []
  const { id, settings } = resolveContainer(store, name ?? text)
  const { links = [], ...rest } = settings
  if (name === undefined)
    throw new CairnError('CONFIG_INVALID', 'Conflict, cannot remove the default link name of the container')
  const left = links.filter((link) => link.alias !== alias)
  if (left.length === links.length) throw new CairnError('CONFIG_INVALID', `${name} has no link ${alias}`)
  recordSettings(store, id, left.length === 0 ? rest : { ...rest, links: left })
}

/** What {@link pruneContainers} removed. */
export interface PrunedContainers {
  /** Ids. */
  readonly containers: readonly string[]
  /** Bytes of the files that they had written. */
  readonly reclaimed: number
}

/**
 * Removes all containers that do not run and suit `filters`: `label`, `label!`, `until` (made before a moment). `now`
 * is in milliseconds since 1970. Volumes stay. Throws USAGE (status 1).
 */
export async function pruneContainers(
  store: Store,
  filters: Filters = new Map(),
  now: number = Date.now(),
): Promise<PrunedContainers> {
  checkFilters(filters, ['label', 'label!', 'until'])
  const isOld = untilFilter(filters, now)
  stopLingering(store)
  recoverContainers(store)
  const containers: string[] = []
  let reclaimed = 0
  for (const container of listContainerRecords(store)) {
    if (isActive(container) || container.session !== null || !isOld(container.createdAt)) continue
    if (!suitsLabels(filters, container.settings.config.Labels ?? {})) continue
    const size = writtenSize(store, container)
    await removeContainer(store, container)
    containers.push(container.id)
    reclaimed += size
  }
  recordEvent(store, 'container', 'prune', '', { reclaimed: String(reclaimed) })
  return { containers, reclaimed }
}
