import { isActive } from '../containers/container.ts'
import { containersOfImage, listContainerRecords } from '../containers/container-records.ts'
import { recoverContainers } from '../containers/recovery.ts'
import { listVolumes, listVolumeUsers } from '../containers/volume-records.ts'
import { containerDiskSize } from '../containers/written-size.ts'
import { getDiffIds, listImageLayers } from '../content/manifest-records.ts'
import type { Store } from '../content/store.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { treeSize } from '../linux/tree-size.ts'
import type { Digest } from '../oci/digest.ts'
import { buildCacheRecords } from './build-cache-records.ts'
import { cachedSteps, documentSizes, layerDiskSizes } from './layer-usage.ts'
import { volumeSize } from './volumes.ts'

/** What one kind of thing takes. */
export interface DiskUsage {
  readonly type: 'Images' | 'Containers' | 'Local Volumes' | 'Build Cache'
  readonly total: number
  /** Those in use. */
  readonly active: number
  /** Bytes on disk. */
  readonly size: number
  /** Bytes that pruning would free. */
  readonly reclaimable: number
}

/**
 * What the store takes on disk, in whole blocks and each counted once: a layer with all its forms for the images that have
 * it, else for the build cache. Only the database, what is reserved and what running processes have not finished is left
 * out.
 */
export function diskUsage(store: Store): DiskUsage[] {
  recoverContainers(store)
  const sizes = layerDiskSizes(store)
  const sizeOf = (groups: Iterable<Iterable<Digest>>): number => {
    let sum = 0
    for (const layer of union(groups)) sum += sizes.get(layer) ?? 0
    return sum
  }
  const images = listImageLayers(store)
  return [
    imageUsage(store, images, sizeOf),
    containerUsage(store, images, sizeOf),
    volumeUsage(store),
    cacheUsage(store),
  ]
}

type ImageLayers = ReadonlyMap<Digest, ReadonlySet<Digest>>
/** Bytes on disk of the layers of several groups, each once. */
type SizeOf = (groups: Iterable<Iterable<Digest>>) => number

function union<T>(groups: Iterable<Iterable<T>>): Set<T> {
  const all = new Set<T>()
  for (const group of groups) for (const item of group) all.add(item)
  return all
}

function imageUsage(store: Store, images: ImageLayers, sizeOf: SizeOf): DiskUsage {
  const used = [...images].filter(([imageId]) => containersOfImage(store, imageId).length > 0)
  const documents = documentSizes(store)
  const sum = (digests: Iterable<Digest>): number =>
    [...digests].reduce((total, id) => total + (documents.get(id) ?? 0), 0)
  const size = sizeOf(images.values()) + sum(documents.keys())
  const kept = sizeOf(used.map(([, layers]) => layers)) + sum(used.map(([imageId]) => imageId))
  return { type: 'Images', total: images.size, active: used.length, size, reclaimable: size - kept }
}

/** Layers of images that were removed although containers need them count for the containers. */
function containerUsage(store: Store, images: ImageLayers, sizeOf: SizeOf): DiskUsage {
  const ofImages = union(images.values())
  const records = listContainerRecords(store)
  const ownLayers = union(records.map(({ settings }) => getDiffIds(store, settings.manifest))).difference(ofImages)
  // Those in the build cache count there.
  if (ownLayers.size > 0) for (const { layer } of cachedSteps(store)) if (layer !== undefined) ownLayers.delete(layer)
  const layers = sizeOf([ownLayers])
  const containers = records.map((container) => ({
    isRunning: isActive(container),
    size: containerDiskSize(store, container),
  }))
  const sum = (some: typeof containers): number => some.reduce((total, { size }) => total + size, 0)
  return {
    type: 'Containers',
    total: containers.length,
    active: containers.filter(({ isRunning }) => isRunning).length,
    size: sum(containers) + layers,
    reclaimable: sum(containers.filter(({ isRunning }) => !isRunning)),
  }
}

function volumeUsage(store: Store): DiskUsage {
  const users = listVolumeUsers(store)
  const volumes = listVolumes(store).map((volume) => ({
    isUsed: users.has(volume.name),
    size: volumeSize(store, volume),
  }))
  const sum = (some: typeof volumes): number => some.reduce((total, { size }) => total + size, 0)
  return {
    type: 'Local Volumes',
    total: volumes.length,
    active: volumes.filter(({ isUsed }) => isUsed).length,
    size: sum(volumes),
    reclaimable: sum(volumes.filter(({ isUsed }) => !isUsed)),
  }
}

function cacheUsage(store: Store): DiskUsage {
  const records = buildCacheRecords(store)
  const own = records.filter(({ isShared }) => !isShared)
  const sum = (some: typeof records): number => some.reduce((total, { size }) => total + size, 0)
  return {
    type: 'Build Cache',
    total: records.length,
    active: records.filter(({ isInUse }) => isInUse).length,
    size: sum(own) + historySize(store),
    reclaimable: sum(own.filter(({ isInUse }) => !isInUse)),
  }
}

/** Bytes on the disk of what is remembered of builds and not pruned with the cache. */
function historySize(store: Store): number {
  return tryListDirectory(store.path('builds'))
    .filter(({ name, type }) => type === 'directory' && name !== 'run' && name !== 'contexts')
    .flatMap(({ name }) => tryListDirectory(store.path('builds', name)).map((file) => `${name}/${file.name}`))
    .reduce((total, path) => total + treeSize(store.path('builds', path)), 0)
}
