import type { Digest } from '../oci/digest.ts'
import type { BlobIdentity } from './blobs.ts'
import type { Store } from './store.ts'

const day = 24 * 60 * 60 * 1000
/** Milliseconds that is remembered where blobs were seen. */
const sourcesKept = 180 * day
/** Registries drop uploads that nobody goes on with, mostly after a week. */
const uploadsKept = 7 * day

/** A repository of a registry. */
export interface RemoteRepository {
  readonly host: string
  readonly repository: string
}

/** A layer that was compressed, with the annotations that its descriptor then has. */
export interface CompressedLayer extends BlobIdentity {
  readonly annotations?: Readonly<Record<string, string>>
}

/** What the layer becomes under these settings, where it was compressed with them before. */
export function getCompressedLayer(store: Store, diffId: Digest, settings: string): CompressedLayer | undefined {
  const row = store.database.one<BlobIdentity & { annotations: string | null }>(
    'SELECT digest, size, annotations FROM compressed_layers WHERE diff_id = ? AND settings = ?',
    diffId,
    settings,
  )
  if (row === undefined) return undefined
  const { digest, size, annotations } = row
  if (annotations === null) return { digest, size }
  return { digest, size, annotations: JSON.parse(annotations) as Record<string, string> }
}

export function putCompressedLayer(
  store: Store,
  diffId: Digest,
  settings: string,
  { digest, size, annotations }: CompressedLayer,
): void {
  store.database.run(
    `INSERT OR REPLACE INTO compressed_layers (diff_id, settings, digest, size, used_at, annotations)
     VALUES (?, ?, ?, ?, ?, ?)`,
    diffId,
    settings,
    digest,
    size,
    Date.now(),
    annotations === undefined ? null : JSON.stringify(annotations),
  )
}

/** Repositories of a registry that the blob was seen in, the latest first. */
export function listBlobSources(store: Store, digest: Digest, host: string): readonly string[] {
  const rows = store.database.all<{ repository: string }>(
    'SELECT repository FROM blob_sources WHERE digest = ? AND host = ? ORDER BY seen_at DESC, repository',
    digest,
    host,
  )
  return rows.map(({ repository }) => repository)
}

/** Remembers that a repository has blobs. */
export function putBlobSources(store: Store, digests: Iterable<Digest>, { host, repository }: RemoteRepository): void {
  const now = Date.now()
  store.database.transaction(() => {
    for (const digest of digests)
      store.database.run('INSERT OR REPLACE INTO blob_sources VALUES (?, ?, ?, ?)', digest, host, repository, now)
    store.database.run('DELETE FROM blob_sources WHERE seen_at < ?', now - sourcesKept)
  })
}

/** Where the upload of a blob that did not end can be gone on with. */
export function getRemoteUpload(
  store: Store,
  { host, repository }: RemoteRepository,
  blob: string,
): string | undefined {
  return store.database.one<{ location: string }>(
    'SELECT location FROM remote_uploads WHERE host = ? AND repository = ? AND blob = ? AND began_at > ?',
    host,
    repository,
    blob,
    Date.now() - uploadsKept,
  )?.location
}

export function putRemoteUpload(
  store: Store,
  { host, repository }: RemoteRepository,
  blob: string,
  location: string,
): void {
  store.database.run(
    'INSERT OR REPLACE INTO remote_uploads VALUES (?, ?, ?, ?, ?)',
    host,
    repository,
    blob,
    location,
    Date.now(),
  )
}

export function deleteRemoteUpload(store: Store, { host, repository }: RemoteRepository, blob: string): void {
  store.database.run(
    'DELETE FROM remote_uploads WHERE (host = ? AND repository = ? AND blob = ?) OR began_at < ?',
    host,
    repository,
    blob,
    Date.now() - uploadsKept,
  )
}
