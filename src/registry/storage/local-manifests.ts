import { noteGarbage } from '../../content/garbage.ts'
import { blobNode } from '../../content/graph.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { GroupSync } from './group-sync.ts'
import { addRepository, findBlobRow, freeBlobs } from './local-blobs.ts'
import type {
  ManifestEntry,
  ManifestReference,
  PushedManifest,
  PutOptions,
  PutResult,
  ReferrersPage,
  ReferrersResult,
} from './registry-storage.ts'

/** Referrers that are read at once; each may have up to the size of a manifest. */
const referrersAtOnce = 8
const mostResolved = 100_000

/** Manifests of repositories, what tags lead to, and referrers. */
export class LocalManifests {
  readonly #store: Store
  readonly #disk: GroupSync
  /** What {@link resolve} has found since the store was at `#mark`. */
  readonly #resolved = new Map<string, ManifestEntry>()
  #mark = ''

  constructor(store: Store, disk: GroupSync) {
    this.#store = store
    this.#disk = disk
  }

  /** What a tag or digest leads to. While nothing in the store has changed it is not looked up again. */
  resolve(repository: string, reference: string): ManifestEntry | undefined {
    const mark = this.#store.database.changeMark
    if (mark !== this.#mark || this.#resolved.size >= mostResolved) this.#resolved.clear()
    this.#mark = mark
    const key = `${repository} ${reference}`
    const known = this.#resolved.get(key)
    if (known !== undefined) return known
    const found = this.#find(repository, reference)
    if (found !== undefined) this.#resolved.set(key, found)
    return found
  }

  #find(repository: string, reference: string): ManifestEntry | undefined {
    const { database } = this.#store
    const columns = 'digest, media_type AS mediaType, size'
    if (isDigest(reference))
      return database.one<ManifestEntry>(
        `SELECT ${columns} FROM registry_manifests WHERE repository = ? AND digest = ?`,
        repository,
        reference,
      )
    return database.one<ManifestEntry>(
      `SELECT ${columns} FROM registry_tags JOIN registry_manifests USING (repository, digest)
       WHERE repository = ? AND tag = ?`,
      repository,
      reference,
    )
  }

  read(digest: Digest): Uint8Array<ArrayBuffer> | undefined {
    try {
      return this.#store.blobs.readAll(digest, largestDocument)
    } catch (error) {
      if (isCairnError(error, 'BLOB_UNKNOWN')) return undefined
      throw error
    }
  }

  async put(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult> {
    const refused = this.#check(repository, manifest, options)
    if (refused !== undefined) return refused
    using lease = acquireLease(this.#store)
    const ingest = lease.ingest({ digest: manifest.digest, size: manifest.size })
    ingest.write(manifest.bytes)
    await ingest.commit()
    await this.#disk.settle()
    const result = this.#store.database.transaction((): PutResult => {
      const refusedNow = this.#check(repository, manifest, options)
      if (refusedNow !== undefined) return refusedNow
      this.#record(repository, manifest, options.tags)
      return { outcome: 'stored' }
    })
    await this.#disk.sync()
    return result
  }

  async delete(repository: string, digest: Digest): Promise<boolean> {
    if (!this.#store.database.transaction(() => forgetManifest(this.#store, repository, digest))) return false
    await this.#disk.sync()
    await freeBlobs(this.#store, [digest])
    return true
  }

  referrers(repository: string, subject: Digest, page: ReferrersPage): ReferrersResult {
    const descriptors: Descriptor[] = []
    let bytes = 0
    let after = page.after ?? ''
    for (;;) {
      const rows = this.#store.database.all<{ digest: string; descriptor: string }>(
        `SELECT digest, descriptor FROM registry_referrers
         WHERE repository = ? AND subject = ? AND digest > ? AND (?4 IS NULL OR artifact_type = ?4)
         ORDER BY digest LIMIT ${referrersAtOnce}`,
        repository,
        subject,
        after,
        page.artifactType ?? null,
      )
      for (const { digest, descriptor } of rows) {
        bytes += descriptor.length
        if (bytes > page.bytes && descriptors.length > 0) return { descriptors, hasMore: true }
        descriptors.push(JSON.parse(descriptor) as Descriptor)
        after = digest
      }
      if (rows.length < referrersAtOnce) return { descriptors, hasMore: false }
    }
  }

  /** Why the manifest is not taken, or undefined. */
  #check(repository: string, manifest: PushedManifest, options: PutOptions): PutResult | undefined {
    const { condition, tags } = options
    if (condition !== undefined) {
      const found = this.resolve(repository, tags[0] ?? manifest.digest)?.digest
      if (condition === 'absent' ? found !== undefined : found !== condition) return { outcome: 'condition-failed' }
    }
    const moved = options.existingTags === 'keep' ? this.#movedTag(repository, manifest.digest, tags) : undefined
    if (moved !== undefined) return { outcome: 'tag-exists', tag: moved }
    const missing: ManifestReference[] = []
    for (const reference of manifest.references) {
      const size = this.#sizeOf(repository, reference)
      if (size === undefined) {
        if (!reference.isOptional) missing.push(reference)
      } else if (size !== reference.size) return { outcome: 'size-differs', reference, size }
    }
    return missing.length > 0 && options.missing === 'refuse' ? { outcome: 'missing', references: missing } : undefined
  }

  /** The first of the tags that leads to another manifest. */
  #movedTag(repository: string, digest: Digest, tags: readonly string[]): string | undefined {
    return tags.find((tag) => (this.resolve(repository, tag)?.digest ?? digest) !== digest)
  }

  #sizeOf(repository: string, { kind, digest }: ManifestReference): number | undefined {
    const found = kind === 'blob' ? findBlobRow(this.#store, repository, digest) : this.resolve(repository, digest)
    return found?.size
  }

  #record(repository: string, manifest: PushedManifest, tags: readonly string[]): void {
    const { database } = this.#store
    const { digest, mediaType, size, subject, descriptor, references } = manifest
    const now = Date.now()
    addRepository(database, repository, now)
    database.run(
      `INSERT INTO registry_manifests VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET media_type = excluded.media_type, pushed_at = excluded.pushed_at`,
      repository,
      digest,
      mediaType,
      size,
      now,
    )
    for (const reference of references)
      database.run('INSERT OR IGNORE INTO registry_references VALUES (?, ?, ?)', repository, digest, reference.digest)
    if (subject !== undefined)
      database.run(
        'INSERT OR REPLACE INTO registry_referrers VALUES (?, ?, ?, ?, ?)',
        repository,
        subject,
        digest,
        descriptor.artifactType ?? null,
        JSON.stringify(descriptor),
      )
    for (const tag of tags)
      database.run('INSERT OR REPLACE INTO registry_tags VALUES (?, ?, ?, ?)', repository, tag, digest, now)
  }
}

/**
 * Removes all that is recorded of a manifest. To be called in a transaction; its bytes are noted as garbage in that. False
 * where there is none. SQLite would rather look at all tags and referrers of the repository, so the indexes are named.
 */
export function forgetManifest(store: Store, repository: string, digest: Digest): boolean {
  const { database } = store
  if (database.run('DELETE FROM registry_manifests WHERE repository = ? AND digest = ?', repository, digest) === 0)
    return false
  database.run('DELETE FROM registry_references WHERE repository = ? AND manifest = ?', repository, digest)
  for (const table of ['registry_referrers', 'registry_tags'])
    database.run(
      `DELETE FROM ${table} INDEXED BY ${table}_by_digest WHERE repository = ? AND digest = ?`,
      repository,
      digest,
    )
  noteGarbage(store, [blobNode(digest)])
  return true
}
