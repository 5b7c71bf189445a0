import { listLinkedSnapshots, settleLinkedSizes } from '../../../content/linked-snapshots.ts'
import type { Store, StoreArea } from '../../../content/store.ts'
import { tryListDirectory } from '../../../linux/directories.ts'
import { blocksOf, treeSize } from '../../../linux/tree-size.ts'
import type { Digest } from '../../../oci/digest.ts'
import { diskUsage } from '../disk-usage.ts'
import type { FoundBlob } from './check-content.ts'
import type { StoreProblem } from './problem.ts'

/** Bytes on the disk. */
export interface StoreSizes {
  /** Of all files but the database and what is reserved. */
  readonly found: number
  /** What `system df` tells of. */
  readonly told: number
  /** The database with its log. */
  readonly database: number
}

/** Where what `system df` tells of is. */
const areas: readonly StoreArea[] = ['snapshots', 'containers', 'volumes', 'cache', 'builds', 'registry']
/** What may differ: a hundredth, and the directories of an empty store. */
const tolerance = 0.01
const ofEmptyStore = 256 * 1024

/** What the store takes by looking at every file, and by its records. */
export function measureStore(store: Store, blobs: readonly FoundBlob[]): StoreSizes {
  const others = notTold(store)
  const content = blobs.reduce((total, { digest, size }) => total + (others.has(digest) ? 0 : blocksOf(size)), 0)
  return {
    found: areas.reduce((total, area) => total + areaSize(store, area), content),
    told: diskUsage(store).reduce((total, { size }) => total + size, 0),
    database: ['', '-wal', '-shm'].reduce((total, suffix) => total + treeSize(`${store.root}/cairn.db${suffix}`), 0),
  }
}

/** Without what the runtimes keep of running containers. */
function areaSize(store: Store, area: StoreArea): number {
  const names = tryListDirectory(store.path(area)).map(({ name }) => name)
  const linked = new Set<string>()
  return names
    .filter((name) => name !== 'run')
    .reduce((total, name) => total + treeSize(store.path(area, name), linked), 0)
}

/** Blobs that running processes bring in: `system df` does not tell of them. */
function notTold(store: Store): ReadonlySet<Digest> {
  const rows = store.database.all<{ digest: Digest }>(
    `SELECT digest FROM (SELECT node AS digest FROM lease_nodes WHERE node NOT IN (SELECT node FROM garbage))
     WHERE digest NOT IN (SELECT digest FROM registry_blobs) AND digest NOT IN (SELECT digest FROM registry_manifests)
       AND digest NOT IN (SELECT digest FROM images) AND digest NOT IN (SELECT child FROM links)
       AND digest NOT IN (SELECT digest FROM layers JOIN links ON child = 'layer/' || diff_id)`,
  )
  return new Set(rows.map(({ digest }) => digest))
}

export function checkSizes(sizes: StoreSizes): StoreProblem[] {
  const { found, told } = sizes
  if (Math.abs(found - told) <= found * tolerance + ofEmptyStore) return []
  return [
    {
      area: 'sizes',
      subject: 'system df',
      problem: `it tells of ${told} bytes, but the files take ${found}`,
      remedy: 'Set right what else is told here; if nothing is, this is a bug of Cairn.',
    },
  ]
}

/** Unpacked layers whose recorded size is another than that of their files: pruning would tell a wrong sum. */
export function checkSnapshotSizes(store: Store): StoreProblem[] {
  settleLinkedSizes(store)
  const rows = store.database.all<{ id: string; diffId: string; size: number }>(
    "SELECT id, diff_id AS diffId, size FROM snapshots WHERE state = 'committed' ORDER BY created_at, id",
  )
  const groups = listLinkedSnapshots(store)
  const counted = new Map<string, Set<string>>()
  return rows.flatMap(({ id, diffId, size }): StoreProblem[] => {
    const linked = counted.get(groups.get(id) ?? id) ?? new Set<string>()
    counted.set(groups.get(id) ?? id, linked)
    const found = treeSize(store.path('snapshots', id), linked)
    if (found === 0 || Math.abs(found - size) <= found * tolerance + 64 * 1024) return []
    return [
      {
        area: 'sizes',
        subject: diffId,
        problem: `its directory takes ${found} bytes, but ${size} are recorded`,
        remedy: 'Repairing records what it takes.',
        repair: () => void store.database.run('UPDATE snapshots SET size = ? WHERE id = ?', found, id),
      },
    ]
  })
}
