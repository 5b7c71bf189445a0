import { deleteCacheRecords } from '../../../content/cache-records.ts'
import { listComposedBlobs } from '../../../content/composed-blobs.ts'
import { collectGarbage } from '../../../content/gc.ts'
import type { Store } from '../../../content/store.ts'
import { tryListDirectory } from '../../../linux/directories.ts'
import { tryLstat } from '../../../linux/file-status.ts'
import { removeTree } from '../../../linux/remove-tree.ts'
import { type Digest, isDigest } from '../../../oci/digest.ts'
import { cachedSteps } from '../layer-usage.ts'
import type { ImageParts } from './image-parts.ts'
import { counted, type StoreProblem } from './problem.ts'

/** A blob on the disk. */
export interface FoundBlob {
  readonly digest: Digest
  /** Bytes of its file; 0 for one that is composed of others. */
  readonly size: number
}

/** The blobs: what is below `content/blobs`, with what there is none, and those that are composed of these. */
export function findBlobs(store: Store): { readonly blobs: FoundBlob[]; readonly strange: string[] } {
  const directory = store.path('content', 'blobs')
  const blobs: FoundBlob[] = []
  const strange: string[] = []
  for (const { name: algorithm } of tryListDirectory(directory))
    for (const { name: hex } of tryListDirectory(`${directory}/${algorithm}`)) {
      const path = `${directory}/${algorithm}/${hex}`
      const digest = `${algorithm}:${hex}`
      const status = tryLstat(path)
      if (isDigest(digest) && status?.type === 'file') blobs.push({ digest, size: status.size })
      else strange.push(path)
    }
  const composed = listComposedBlobs(store).filter((digest) => store.blobs.file(digest) === undefined)
  return { blobs: [...blobs, ...composed.map((digest) => ({ digest, size: 0 }))], strange }
}

/** Digests that the database needs besides those of images, and by what. */
const referrers = `
  SELECT digest, 'the repository ' || repository || ' of the registry' AS user, size FROM registry_blobs
  UNION ALL SELECT digest, 'the repository ' || repository || ' of the registry', size FROM registry_manifests`

/**
 * Blobs against the records: those that something needs and that are not there or not as long as they must be, records of
 * what is not there, and what nothing needs. To be called in a transaction.
 */
export function checkContent(
  store: Store,
  parts: ImageParts,
  blobs: readonly FoundBlob[],
  strange: readonly string[],
): StoreProblem[] {
  return [
    ...strange.map((path): StoreProblem => ({
      area: 'content',
      subject: path,
      problem: 'this is no blob; nothing uses it',
      remedy: 'Repairing removes it.',
      repair: () => removeTree(path),
    })),
    ...checkLayerRecords(store, parts),
    ...checkCache(store, parts),
    ...checkFetchedFiles(store),
    ...checkReferrers(store),
    ...checkUnneeded(store, blobs),
  ]
}

/** A layer's record whose blob is cut short; one whose blob is gone is of no use and does no harm. */
function checkLayerRecords(store: Store, parts: ImageParts): StoreProblem[] {
  const rows = store.database.all<{ digest: Digest; size: number }>('SELECT DISTINCT digest, size FROM layers')
  return rows.flatMap(({ digest, size }): StoreProblem[] => {
    const found = store.blobs.size(digest)
    if (found === size) return []
    // Images tell of their layers themselves.
    if (found !== undefined && parts.users.has(digest)) return []
    return [
      {
        area: 'content',
        subject: digest,
        problem:
          found === undefined ? 'a layer is recorded that is not there' : `this layer has ${found} bytes, not ${size}`,
        remedy: 'Repairing forgets it; a build makes it again.',
        repair: () => forgetLayer(store, digest),
      },
    ]
  })
}

/** Forgets a form of a layer with the results of builds that are it, and the blob where no image has it. */
export function forgetLayer(store: Store, digest: Digest): void {
  store.database.transaction(() => {
    const row = store.database.one<{ diffId: Digest }>('SELECT diff_id AS diffId FROM layers WHERE digest = ?', digest)
    if (row !== undefined) deleteCacheRecords(store, keysOfLayer(store, row.diffId))
    if (store.blobs.size(digest) === undefined) store.database.run('DELETE FROM layers WHERE digest = ?', digest)
    store.database.run('INSERT OR IGNORE INTO garbage VALUES (?)', digest)
  })
}

function keysOfLayer(store: Store, diffId: Digest): string[] {
  return cachedSteps(store).flatMap(({ key, layer }) => (layer === diffId ? [key] : []))
}

/** Results of build steps whose layer is gone or damaged. */
function checkCache(store: Store, parts: ImageParts): StoreProblem[] {
  const present = new Set<string>()
  for (const { diffId, digest } of store.database.all<{ diffId: string; digest: Digest }>(
    'SELECT diff_id AS diffId, digest FROM layers',
  ))
    if (store.blobs.has(digest) && !parts.isFaulty(digest)) present.add(diffId)
  const lost = cachedSteps(store).flatMap(({ key, layer }) => (layer === undefined || present.has(layer) ? [] : [key]))
  if (lost.length === 0) return []
  return [
    {
      area: 'build cache',
      subject: counted(lost.length, 'result'),
      problem: 'the layers of these results of build steps are gone or damaged',
      remedy: 'Repairing forgets them, so that the steps run again.',
      repair: () => void deleteCacheRecords(store, lost),
    },
  ]
}

function checkFetchedFiles(store: Store): StoreProblem[] {
  const rows = store.database.all<{ url: string; digest: Digest }>('SELECT url, digest FROM fetched_files')
  return rows.flatMap(({ url, digest }): StoreProblem[] =>
    store.blobs.has(digest)
      ? []
      : [
          {
            area: 'build cache',
            subject: digest,
            problem: 'a file that was fetched is not there any more',
            remedy: 'Repairing forgets it, so that it is fetched again.',
            repair: () => void store.database.run('DELETE FROM fetched_files WHERE url = ?', url),
          },
        ],
  )
}

function checkReferrers(store: Store): StoreProblem[] {
  const rows = store.database.all<{ digest: Digest; user: string; size: number }>(referrers)
  return rows.flatMap(({ digest, user, size }): StoreProblem[] => {
    const found = store.blobs.size(digest)
    if (found === size) return []
    return [
      {
        area: 'content',
        subject: digest,
        problem: `this blob of ${user} ${found === undefined ? 'is missing' : `has ${found} bytes, not ${size}`}`,
        remedy: 'Push it again, which heals it.',
      },
    ]
  })
}

const unneeded = `SELECT NOT (
  EXISTS (SELECT 1 FROM links WHERE child = ?1) OR EXISTS (SELECT 1 FROM images WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM pins WHERE node = ?1) OR EXISTS (SELECT 1 FROM lease_nodes WHERE node = ?1)
  OR EXISTS (SELECT 1 FROM fetched_files WHERE digest = ?1) OR EXISTS (SELECT 1 FROM garbage WHERE node = ?1)
  OR EXISTS (SELECT 1 FROM registry_blobs WHERE digest = ?1) OR EXISTS (SELECT 1 FROM registry_manifests WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM layers JOIN links ON child = 'layer/' || diff_id WHERE digest = ?1)
  OR EXISTS (SELECT 1 FROM layers JOIN lease_nodes ON node = 'layer/' || diff_id WHERE digest = ?1)
) AS unneeded`

/** Blobs that nothing leads to and that no collection would find but one of everything. */
function checkUnneeded(store: Store, blobs: readonly FoundBlob[]): StoreProblem[] {
  const lost = blobs.filter(({ digest }) => store.database.one<{ unneeded: number }>(unneeded, digest)?.unneeded === 1)
  if (lost.length === 0) return []
  const bytes = lost.reduce((total, { size }) => total + size, 0)
  return [
    {
      area: 'content',
      subject: counted(lost.length, 'blob'),
      problem: `nothing needs them; they take ${bytes} bytes (the first is ${lost[0]?.digest})`,
      remedy: 'Repairing removes them, as `cairn image prune` does.',
      repair: async () => void (await collectGarbage(store)),
    },
  ]
}
