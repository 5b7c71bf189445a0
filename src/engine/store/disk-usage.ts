import { isActive } from '../../containers/container.ts'
import { listContainerRecords } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { listVolumes, listVolumeUsers } from '../../containers/volume-records.ts'
import { containerDiskSize } from '../../containers/written-size.ts'
import { pendingGarbage } from '../../content/garbage.ts'
import { getDiffIds, layersOfImages } from '../../content/manifest-records.ts'
import { listImageIds } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { blocksOf, treeSize } from '../../linux/tree-size.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { buildCacheRecords } from './build-cache-records.ts'
import { cachedSteps, documentSizes, type LayerUse, layerUse } from './layer-usage.ts'
import { registryUsage } from '../registry/registry-usage.ts'
import { volumeSize } from '../containers/volumes.ts'

/** What one kind of thing takes. */
export interface DiskUsage {
  readonly type: 'Images' | 'Containers' | 'Local Volumes' | 'Build Cache' | 'Registry'
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
 * it, else for the build cache, else for the registry server, which has a row where it holds anything. Only the database, what is reserved and what running processes have not finished is left
 * out.
 */
export function diskUsage(store: Store): DiskUsage[] {
  recoverContainers(store)
  const layers = layerUse(store)
  const rows = [imageUsage(store, layers), containerUsage(store, layers), volumeUsage(store), cacheUsage(store, layers)]
  const registry = registryUsage(store, layers)
  if (registry === undefined) return rows
  const { repositories, size } = registry
  // What collecting its garbage would free depends on its policy; no prune command frees any of it.
  return [...rows, { type: 'Registry', total: repositories, active: repositories, size, reclaimable: 0 }]
}

/** Bytes on disk of layers. */
function sizeOf({ sizes }: LayerUse, layers: Iterable<Digest>): number {
  let sum = 0
  for (const layer of layers) sum += sizes.get(layer) ?? 0
  return sum
}

function imageUsage(store: Store, layers: LayerUse): DiskUsage {
  const documents = documentSizes(store)
  const images = listImageIds(store)
  const used = new Set(listContainerRecords(store).map(({ imageId }) => imageId)).intersection(images)
  const sum = (digests: Iterable<Digest>): number => {
    let total = 0
    for (const digest of digests) total += documents.get(digest) ?? 0
    return total
  }
  const size = sizeOf(layers, layers.ofImages) + sum(documents.keys()) + leftoverSize(store, layers)
  const kept = used.size === 0 ? 0 : sizeOf(layers, layersOfImages(store, used)) + sum(used)
  return { type: 'Images', total: images.size, active: used.size, size, reclaimable: size - kept }
}

/** Bytes on the disk of what removals left for later, as `rmi --no-prune` does: `image prune` frees them. */
function leftoverSize(store: Store, layers: LayerUse): number {
  const pending = pendingGarbage(store)
  let size = sizeOf(layers, pending.layers)
  for (const node of pending.nodes) if (isDigest(node)) size += blocksOf(store.blobs.size(node) ?? 0)
  return size
}

/** Layers of images that were removed although containers need them count for the containers. */
function containerUsage(store: Store, layers: LayerUse): DiskUsage {
  const records = listContainerRecords(store)
  const all = new Set(records.flatMap(({ settings }) => getDiffIds(store, settings.manifest)))
  const ownLayers = all.difference(layers.ofImages)
  // Those in the build cache count there.
  if (ownLayers.size > 0) for (const { layer } of cachedSteps(store)) if (layer !== undefined) ownLayers.delete(layer)
  const containers = records.map((container) => ({
    isRunning: isActive(container),
    size: containerDiskSize(store, container),
  }))
  const sum = (some: typeof containers): number => some.reduce((total, { size }) => total + size, 0)
  return {
    type: 'Containers',
    total: containers.length,
    active: containers.filter(({ isRunning }) => isRunning).length,
    size: sum(containers) + sizeOf(layers, ownLayers),
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

function cacheUsage(store: Store, layers: LayerUse): DiskUsage {
  const records = buildCacheRecords(store, layers)
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
