import { CairnError } from '../errors/error.ts'
import type { Digest } from '../oci/digest.ts'
import type { Store } from './store.ts'

/** An image the store knows: the manifest or index that a name or digest leads to. */
export interface ImageRecord {
  /** Of the manifest or index. */
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes of the manifest or index. */
  readonly size: number
  /** Digest of the image config; of an index, that of the image preferred here; of what has none, `digest`. */
  readonly imageId: Digest
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** A name of an image. */
export interface TagRecord {
  /** Normalised reference with a tag or a digest: `docker.io/library/nginx:1.27`. */
  readonly name: string
  readonly digest: Digest
  readonly taggedAt: number
}

const imageColumns =
  'digest, media_type AS mediaType, size, image_id AS imageId, created_at AS createdAt, updated_at AS updatedAt'
const tagColumns = 'name, digest, tagged_at AS taggedAt'

/**
 * Records an image, which keeps what it is linked to (graph.ts). One that is there is updated. Its blobs are on the disk
 * with their names before it is.
 */
export function putImageRecord(store: Store, image: Omit<ImageRecord, 'createdAt' | 'updatedAt'>): void {
  store.settle()
  const now = Date.now()
  store.database.run(
    `INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (digest) DO UPDATE SET image_id = excluded.image_id, updated_at = excluded.updated_at`,
    image.digest,
    image.mediaType,
    image.size,
    image.imageId,
    now,
    now,
  )
}

/** The image with this manifest or index. */
export function getImageRecord(store: Store, digest: Digest): ImageRecord | undefined {
  return store.database.one<ImageRecord>(`SELECT ${imageColumns} FROM images WHERE digest = ?`, digest)
}

/** All images, newest first. */
export function listImageRecords(store: Store): ImageRecord[] {
  // SQLite would sort many of them in a file. They come in the order of their digests, which sorting keeps.
  const records = store.database.all<ImageRecord>(`SELECT ${imageColumns} FROM images ORDER BY digest`)
  return records.sort((a, b) => b.updatedAt - a.updatedAt)
}

/** The IDs of all images. */
export function listImageIds(store: Store): ReadonlySet<Digest> {
  const rows = store.database.all<{ imageId: Digest }>('SELECT DISTINCT image_id AS imageId FROM images')
  return new Set(rows.map(({ imageId }) => imageId))
}

/** Images whose ID or manifest digest begins with `prefix` (`sha256:` and hex digits), newest first. */
export function findImageRecords(store: Store, prefix: string): ImageRecord[] {
  // Digests are lower-case ASCII: '~' sorts after all of them.
  return store.database.all<ImageRecord>(
    `SELECT ${imageColumns} FROM images
     WHERE (image_id >= ?1 AND image_id < ?1 || '~') OR (digest >= ?1 AND digest < ?1 || '~')
     ORDER BY updated_at DESC, digest`,
    prefix,
  )
}

/** Forgets an image and its names. Its blobs stay until the next garbage collection. */
export function deleteImageRecord(store: Store, digest: Digest): void {
  store.database.transaction(() => {
    store.database.run('DELETE FROM tags WHERE digest = ?', digest)
    store.database.run('DELETE FROM images WHERE digest = ?', digest)
  })
}

/**
 * Lets `name` lead to the image `digest`, which must be recorded; gives the digest it led to before. Throws
 * REFERENCE_INVALID with docker's text for `sha256:…`, which would be taken for an ID.
 */
export function putTag(store: Store, name: string, digest: Digest): Digest | undefined {
  if (name.startsWith('docker.io/library/sha256:'))
    throw new CairnError('REFERENCE_INVALID', 'refusing to create an ambiguous tag using digest algorithm as name', {
      hint: 'Choose another name.',
    })
  return store.database.transaction(() => {
    const before = getTag(store, name)
    store.database.run(
      `INSERT INTO tags VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, tagged_at = excluded.tagged_at`,
      name,
      digest,
      Date.now(),
    )
    return before?.digest
  })
}

export function getTag(store: Store, name: string): TagRecord | undefined {
  return store.database.one<TagRecord>(`SELECT ${tagColumns} FROM tags WHERE name = ?`, name)
}

/** Takes a name away; true when it was there. */
export function deleteTag(store: Store, name: string): boolean {
  return store.database.run('DELETE FROM tags WHERE name = ?', name) > 0
}

/** All names, sorted; of one image where a digest is given. */
export function listTags(store: Store, digest?: Digest): TagRecord[] {
  if (digest === undefined) return store.database.all<TagRecord>(`SELECT ${tagColumns} FROM tags ORDER BY name`)
  return store.database.all<TagRecord>(`SELECT ${tagColumns} FROM tags WHERE digest = ? ORDER BY name`, digest)
}

/** The names with a tag that one repository (`docker.io/library/nginx`) has, sorted. */
export function listRepositoryTags(store: Store, repository: string): TagRecord[] {
  // ';' follows ':', so the range is that of the names that begin with the repository and a colon.
  return store.database.all<TagRecord>(
    `SELECT ${tagColumns} FROM tags WHERE name > ? || ':' AND name < ? || ';' ORDER BY name`,
    repository,
    repository,
  )
}
