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

/** A record of a file that was fetched. */
export interface FetchedFileRecord {
  /** Digest of the URL, which may hold a credential. */
  readonly url: string
  readonly digest: Digest
  /** Milliseconds since 1970. */
  readonly usedAt: number
}

/** All records of fetched files. */
export function listFetchedFiles(store: Store): FetchedFileRecord[] {
  return store.database.all('SELECT url, digest, used_at AS usedAt FROM fetched_files ORDER BY used_at, url')
}

/** Forgets fetched files. Blobs that only they kept go with the next garbage collection. */
export function forgetFetchedFiles(store: Store, files: readonly Pick<FetchedFileRecord, 'url'>[]): void {
  store.database.transaction(() => {
    for (const { url } of files) store.database.run('DELETE FROM fetched_files WHERE url = ?', url)
  })
}
