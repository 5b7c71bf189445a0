import { blocksOf } from '../linux/tree-size.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { Store } from './store.ts'

/** What a URL gave when it was last fetched. */
export interface FetchedFile {
  readonly digest: Digest
  /** The server's validators, as it sent them, where a later request may be made conditional on them. */
  readonly etag: string | undefined
  readonly modified: string | undefined
  /** Seconds since 1970, where the server said when the file was changed. */
  readonly lastModified: number | undefined
}

interface Row {
  readonly digest: Digest
  readonly etag: string | null
  readonly modified: string | null
  readonly lastModified: number | null
}

/** The record of `url`. Whoever relies on its blob protects that by a lease first. */
export function getFetchedFile(store: Store, url: string): FetchedFile | undefined {
  const row = store.database.one<Row>(
    'SELECT digest, etag, modified, last_modified AS lastModified FROM fetched_files WHERE url = ?',
    digestOf(url),
  )
  return row === undefined
    ? undefined
    : {
        digest: row.digest,
        etag: row.etag ?? undefined,
        modified: row.modified ?? undefined,
        lastModified: row.lastModified ?? undefined,
      }
}

/** Records what `url` gave, replacing an older record, and notes the use. The blob is kept from garbage collection. */
export function putFetchedFile(store: Store, url: string, file: FetchedFile): void {
  store.database.run(
    'INSERT OR REPLACE INTO fetched_files VALUES (?, ?, ?, ?, ?, ?)',
    digestOf(url),
    file.digest,
    file.etag ?? null,
    file.modified ?? null,
    file.lastModified ?? null,
    Date.now(),
  )
}

/** Bytes on the disk of all files that records keep, each once. */
export function fetchedFilesSize(store: Store): number {
  const rows = store.database.all<{ digest: Digest }>('SELECT DISTINCT digest FROM fetched_files')
  return rows.reduce((total, { digest }) => total + blocksOf(store.blobs.size(digest) ?? 0), 0)
}

/**
 * Forgets the files that were last used before `moment`, milliseconds since 1970; gives how many there were. Blobs that
 * only they kept go with the next garbage collection.
 */
export function forgetFetchedFiles(store: Store, moment: number): number {
  return store.database.run('DELETE FROM fetched_files WHERE used_at < ?', moment)
}
