import { listContainerRecords } from '../../containers/container-records.ts'
import { layerNode, snapshotNode } from '../../content/graph.ts'
import { listLayerForms } from '../../content/layer-records.ts'
import { isLeased } from '../../content/leases.ts'
import { getDiffIds } from '../../content/manifest-records.ts'
import { moveDirectoryAway } from '../../content/removal.ts'
import { recover } from '../../content/recovery.ts'
import { deleteSnapshot, listSnapshots, type SnapshotRecord } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { Digest } from '../../oci/digest.ts'

/**
 * Removes the unpacked copies of layers that no container and no running process has: they are made again from the
 * layers' blobs, which stay, when a RUN step or a container needs them. Gives the bytes freed.
 */
export function dropUnpackedLayers(store: Store): number {
  recover(store)
  const dropped = store.database.transaction(() => {
    const ofContainers = layersOfContainers(store)
    const unused = listSnapshots(store).filter((snapshot) => isSpare(store, snapshot, ofContainers))
    return unused.map(({ id, size }) => {
      deleteSnapshot(store, id)
      return { size, path: moveDirectoryAway(store, 'snapshots', id) }
    })
  })
  for (const { path } of dropped) if (path !== undefined) removeTree(path)
  return dropped.reduce((total, { size }) => total + size, 0)
}

/** A container has its image's layers mounted, also when the process that started it is gone. */
function layersOfContainers(store: Store): ReadonlySet<Digest> {
  return new Set(listContainerRecords(store).flatMap(({ settings }) => getDiffIds(store, settings.manifest)))
}

function isSpare(store: Store, { id, state, diffId }: SnapshotRecord, ofContainers: ReadonlySet<Digest>): boolean {
  if (state !== 'committed' || diffId === null || ofContainers.has(diffId)) return false
  const isUsed = isLeased(store, layerNode(diffId)) || isLeased(store, snapshotNode(id))
  return !isUsed && listLayerForms(store, diffId).length > 0
}
