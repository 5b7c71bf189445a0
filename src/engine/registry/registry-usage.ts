import { listContainerRecords } from '../../containers/container-records.ts'
import { getDiffIds } from '../../content/manifest-records.ts'
import type { Store } from '../../content/store.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { blocksOf, treeSize } from '../../linux/tree-size.ts'
import type { Digest } from '../../oci/digest.ts'
import { cachedSteps, type LayerUse } from '../store/layer-usage.ts'

/** What `registry serve` keeps in this store. */
export interface RegistryUsage {
  readonly repositories: number
  /** Bytes on the disk of what nothing else of the store has too, unfinished uploads among it. */
  readonly size: number
}

const held = `SELECT digest, size FROM registry_blobs UNION SELECT digest, size FROM registry_manifests`

const isDocumentOfImage = `
  WITH RECURSIVE above (digest) AS (SELECT ?1 UNION SELECT parent FROM links JOIN above ON child = above.digest)
  SELECT 1 FROM images WHERE digest IN above UNION ALL SELECT 1 FROM fetched_files WHERE digest = ?1 LIMIT 1`

/** Undefined where the store serves none and never did. */
export function registryUsage(store: Store, { ofImages }: LayerUse): RegistryUsage | undefined {
  const directory = store.path('registry')
  const files = tryListDirectory(directory).reduce((total, { name }) => total + treeSize(`${directory}/${name}`), 0)
  const blobs = store.database.all<{ digest: Digest; size: number }>(held)
  const count = store.database.one<{ count: number }>('SELECT count(*) AS count FROM registry_repositories')?.count ?? 0
  if (blobs.length === 0) return count === 0 && files === 0 ? undefined : { repositories: count, size: files }
  const containers = listContainerRecords(store).flatMap(({ settings }) => getDiffIds(store, settings.manifest))
  const elsewhere = new Set([...containers, ...cachedSteps(store).flatMap(({ layer }) => layer ?? [])])
  const countsElsewhere = (digest: Digest): boolean => {
    const layer = store.database.one<{ diffId: Digest }>(
      'SELECT diff_id AS diffId FROM layers WHERE digest = ?',
      digest,
    )
    if (layer !== undefined) return ofImages.has(layer.diffId) || elsewhere.has(layer.diffId)
    return store.database.one(isDocumentOfImage, digest) !== undefined
  }
  const own = blobs.filter(({ digest }) => !countsElsewhere(digest))
  return { repositories: count, size: own.reduce((total, { size }) => total + blocksOf(size), files) }
}
