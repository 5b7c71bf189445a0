import { collectFrom } from '../../content/gc.ts'
import { noteGarbage } from '../../content/garbage.ts'
import { blobNode } from '../../content/graph.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'

/** How old the time of a blob's last use may be before asking for it sets it anew, in milliseconds. */
export const useResolution = 60_000

/** What is recorded of a blob of a repository. */
export interface BlobRow {
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970. */
  readonly usedAt: number
}

/**
 * A blob of a repository. One whose file is gone or has another size counts as not there, so that the next push brings
 * it again.
 */
export function findBlobRow(store: Store, repository: string, digest: Digest): BlobRow | undefined {
  const row = store.database.one<BlobRow>(
    'SELECT size, used_at AS usedAt FROM registry_blobs WHERE repository = ? AND digest = ?',
    repository,
    digest,
  )
  return row !== undefined && store.blobs.size(digest) === row.size ? row : undefined
}

/** Makes a blob of the store visible in a repository. To be called in a transaction, while a lease protects the blob. */
export function addBlob({ database }: Store, repository: string, digest: Digest, size: number): void {
  const now = Date.now()
  addRepository(database, repository, now)
  database.run(
    `INSERT INTO registry_blobs VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET used_at = excluded.used_at`,
    repository,
    digest,
    size,
    now,
  )
}

/**
 * Takes a blob from a repository. To be called in a transaction; its bytes are noted as garbage in that, for the case that
 * this process dies before it frees them. False where the repository has none such.
 */
export function forgetBlob(store: Store, repository: string, digest: Digest): boolean {
  const sql = 'DELETE FROM registry_blobs WHERE repository = ? AND digest = ?'
  if (store.database.run(sql, repository, digest) === 0) return false
  noteGarbage(store, [blobNode(digest)])
  return true
}

/** Bytes of all blobs of a repository. */
export function blobBytes({ database }: Store, repository: string): number {
  const sql = 'SELECT coalesce(sum(size), 0) AS bytes FROM registry_blobs WHERE repository = ?'
  return database.one<{ bytes: number }>(sql, repository)?.bytes ?? 0
}

/**
 * Throws DENIED where a blob that is new to a repository would take its blobs beyond `quota` bytes. In the transaction
 * that adds the blob it cannot be got around.
 */
export function checkQuota(store: Store, repository: string, digest: Digest, size: number, quota?: number): void {
  if (quota === undefined || findBlobRow(store, repository, digest) !== undefined) return
  const left = Math.max(0, quota - blobBytes(store, repository))
  if (size > left)
    throw new CairnError('DENIED', `the quota of ${quota} bytes for the repository leaves ${left}`, {
      hint: 'Delete what is not needed any more.',
    })
}

/** Records that a repository exists. */
export function addRepository(database: Store['database'], repository: string, now: number): void {
  database.run('INSERT OR IGNORE INTO registry_repositories VALUES (?, ?)', repository, now)
}

/** Frees what nothing needs any more of blobs that were just let go of; gives the bytes. */
export async function freeBlobs(store: Store, digests: readonly Digest[], signal?: AbortSignal): Promise<number> {
  const { blobs } = await collectFrom(store, digests.map(blobNode), signal === undefined ? {} : { signal })
  return blobs.reduce((total, { size }) => total + size, 0)
}
