import {
  listVolumes,
  listVolumeUsers,
  removeVolume,
  type Volume,
  volumeDirectory,
} from '../../containers/volume-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { recordEvent } from '../../content/events.ts'
import type { Store } from '../../content/store.ts'
import { parseGoBool } from '../../dockerfile/go-bool.ts'
import { isCairnError, usageError } from '../../errors/error.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { treeSize } from '../../linux/tree-size.ts'
import { booleanFilter, checkFilters, type Filters, suitsLabels } from '../filters.ts'
import { nilMap } from '../go-values.ts'

/** The one driver there is. */
export const volumeDriver = 'local'

/** What `docker volume inspect` tells of a volume, under docker's names. */
export interface VolumeInspection {
  /** RFC 3339, whole seconds. */
  readonly CreatedAt: string
  readonly Driver: string
  readonly Labels: Readonly<Record<string, string>>
  readonly Mountpoint: string
  readonly Name: string
  readonly Options: Readonly<Record<string, string>>
  readonly Scope: 'local'
}

/** All about a volume. */
export function inspectVolume(store: Store, volume: Volume): VolumeInspection {
  return {
    CreatedAt: `${new Date(volume.createdAt).toISOString().slice(0, 19)}Z`,
    Driver: volumeDriver,
    Labels: Object.keys(volume.labels).length === 0 ? nilMap : volume.labels,
    Mountpoint: volumeDirectory(store, volume),
    Name: volume.name,
    Options: nilMap,
    Scope: 'local',
  }
}

/**
 * The volumes that suit `filters`, by name: `dangling` (no container has it), `driver`, `label`, `label!`, `name` (a
 * regular expression, or a part of it). Throws USAGE (status 1) for filters that are wrong.
 */
export function findVolumes(store: Store, filters: Filters = new Map()): Volume[] {
  checkFilters(filters, ['dangling', 'driver', 'label', 'label!', 'name'])
  const dangling = booleanFilter(filters, 'dangling')
  const drivers = filters.get('driver') ?? []
  const names = filters.get('name') ?? []
  const users = dangling === undefined ? new Map<string, readonly string[]>() : listVolumeUsers(store)
  return listVolumes(store).filter(
    (volume) =>
      (dangling === undefined || users.has(volume.name) !== dangling) &&
      (drivers.length === 0 || drivers.includes(volumeDriver)) &&
      (names.length === 0 || names.some((name) => matchesName(name, volume.name))) &&
      suitsLabels(filters, volume.labels),
  )
}

function matchesName(pattern: string, name: string): boolean {
  // Text of the user's own, on the user's own machine; names are short.
  return name.includes(pattern) || expression(pattern)?.test(name) === true
}

function expression(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern)
  } catch {
    return undefined
  }
}

/** Bytes on the disk of what is in a volume; an empty one has none. */
export function volumeSize(store: Store, volume: Pick<Volume, 'name'>): number {
  const directory = volumeDirectory(store, volume)
  return tryListDirectory(directory).reduce((total, { name }) => total + treeSize(`${directory}/${name}`), 0)
}

export interface PruneVolumesOptions {
  /** Also volumes that were given a name. */
  readonly all?: boolean
  /** `label`, `label!`, and `all` in place of the option. */
  readonly filters?: Filters
}

export interface PrunedVolumes {
  readonly names: readonly string[]
  /** Bytes freed. */
  readonly reclaimed: number
}

/** Removes the volumes that no container has. Throws USAGE (status 1) for filters that are wrong. */
export function pruneVolumes(store: Store, options: PruneVolumesOptions = {}): PrunedVolumes {
  const { all = false, filters = new Map<string, readonly string[]>() } = options
  checkFilters(filters, ['all', 'label', 'label!'])
  const isAll = all || allFilter(filters) === true
  recoverContainers(store)
  const selection = new Map([...filters].filter(([name]) => name !== 'all'))
  const names: string[] = []
  let reclaimed = 0
  for (const volume of findVolumes(store, new Map([...selection, ['dangling', ['true']]]))) {
    if (!isAll && !volume.isAnonymous) continue
    const size = volumeSize(store, volume)
    try {
      removeVolume(store, volume.name)
    } catch (error) {
      // A container was made with it just now, or somebody else removed it.
      if (isCairnError(error, 'VOLUME_IN_USE') || isCairnError(error, 'VOLUME_UNKNOWN')) continue
      throw error
    }
    names.push(volume.name)
    reclaimed += size
  }
  recordEvent(store, 'volume', 'prune', '', { reclaimed: String(reclaimed) })
  return { names, reclaimed }
}

function allFilter(filters: Filters): boolean | undefined {
  const [text] = filters.get('all') ?? []
  if (text === undefined) return undefined
  const value = parseGoBool(text)
  if (value !== undefined) return value
  const reason = `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`
  throw usageError(`invalid filter 'all': ${reason}`)
}
