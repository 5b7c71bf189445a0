import type { Store } from '../../content/store.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { Digest, DigestAlgorithm } from '../../oci/digest.ts'
import { collectRegistryGarbage } from './local-garbage.ts'
import { GroupSync } from './group-sync.ts'
import { addBlob, blobBytes, checkQuota, findBlobRow, forgetBlob, freeBlobs, useResolution } from './local-blobs.ts'
import { LocalManifests } from './local-manifests.ts'
import { LocalUploads } from './local-uploads.ts'
import type {
  BlobContent,
  BlobRange,
  GarbagePolicy,
  ManifestEntry,
  Page,
  PushedManifest,
  PutOptions,
  PutResult,
  ReferrersPage,
  ReferrersResult,
  RegistryGarbage,
  RegistryStorage,
  StoredBlob,
  UploadOptions,
  UploadState,
  UploadWriter,
} from './registry-storage.ts'

/**
 * The registry's content in Cairn's own store: blobs are those of images, each kept once, and what repositories see of
 * them is in the database. Any number of processes may serve one store.
 */
export function localStorage(store: Store): RegistryStorage {
  return new LocalStorage(store)
}

class LocalStorage implements RegistryStorage {
  readonly #store: Store
  readonly #disk: GroupSync
  readonly #uploads: LocalUploads
  readonly #manifests: LocalManifests

  constructor(store: Store) {
    this.#store = store
    this.#disk = new GroupSync(store)
    this.#uploads = new LocalUploads(store, this.#disk)
    this.#manifests = new LocalManifests(store, this.#disk)
  }

  async hasRepository(repository: string): Promise<boolean> {
    return this.#store.database.one('SELECT 1 FROM registry_repositories WHERE name = ?', repository) !== undefined
  }

  async listRepositories(page: Page): Promise<readonly string[]> {
    return this.#names('SELECT name FROM registry_repositories WHERE name > ? ORDER BY name LIMIT ?', page)
  }

  async findBlob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const row = findBlobRow(this.#store, repository, digest)
    if (row === undefined) return undefined
    this.#renew(repository, digest, row.usedAt)
    return { size: row.size, read: (range) => this.#content(digest, range) }
  }

  async mountBlob(repository: string, digest: Digest, from: string, quota?: number): Promise<boolean> {
    const { database } = this.#store
    const isMounted = database.transaction(() => {
      const row = findBlobRow(this.#store, from, digest)
      if (row === undefined) return false
      checkQuota(this.#store, repository, digest, row.size, quota)
      addBlob(this.#store, repository, digest, row.size)
      return true
    })
    if (isMounted) await this.#disk.sync()
    return isMounted
  }

  async repositoriesWith(digest: Digest, page: Page): Promise<readonly string[]> {
    return this.#names(
      'SELECT repository AS name FROM registry_blobs WHERE digest = ? AND repository > ? ORDER BY repository LIMIT ?',
      page,
      digest,
    )
  }

  async blobBytes(repository: string): Promise<number> {
    return blobBytes(this.#store, repository)
  }

  async deleteBlob(repository: string, digest: Digest): Promise<boolean> {
    if (!this.#store.database.transaction(() => forgetBlob(this.#store, repository, digest))) return false
    await this.#disk.sync()
    await freeBlobs(this.#store, [digest])
    return true
  }

  async beginUpload(repository: string, options: UploadOptions): Promise<UploadState> {
    return this.#uploads.begin(repository, options)
  }

  async findUpload(repository: string, id: string): Promise<UploadState | undefined> {
    return this.#uploads.find(repository, id)
  }

  openUpload(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<UploadWriter | undefined> {
    return this.#uploads.open(repository, id, algorithm)
  }

  async resolveManifest(repository: string, reference: string): Promise<ManifestEntry | undefined> {
    return this.#manifests.resolve(repository, reference)
  }

  async readManifest(_repository: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#manifests.read(digest)
  }

  putManifest(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult> {
    return this.#manifests.put(repository, manifest, options)
  }

  deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    return this.#manifests.delete(repository, digest)
  }

  async listTags(repository: string, page: Page): Promise<readonly string[]> {
    return this.#names(
      'SELECT tag AS name FROM registry_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?',
      page,
      repository,
    )
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    const { database } = this.#store
    if (database.run('DELETE FROM registry_tags WHERE repository = ? AND tag = ?', repository, tag) === 0) return false
    await this.#disk.sync()
    return true
  }

  async listReferrers(repository: string, subject: Digest, page: ReferrersPage): Promise<ReferrersResult> {
    return this.#manifests.referrers(repository, subject, page)
  }

  collectGarbage(policy: GarbagePolicy): Promise<RegistryGarbage> {
    return collectRegistryGarbage(this.#store, this.#uploads, policy)
  }

  /** The store is closed by whoever opened it. */
  async close(): Promise<void> {}

  #renew(repository: string, digest: Digest, usedAt: number): void {
    const now = Date.now()
    if (usedAt >= now - useResolution) return
    const sql = 'UPDATE registry_blobs SET used_at = ? WHERE repository = ? AND digest = ?'
    this.#store.database.run(sql, now, repository, digest)
  }

  #content(digest: Digest, range: BlobRange | undefined): BlobContent {
    const path = this.#store.blobs.file(digest)
    if (path === undefined) return { kind: 'body', body: streamOf(this.#store.blobs.open(digest, range)) }
    const file = Bun.file(path, { type: 'application/octet-stream' })
    return { kind: 'body', body: range === undefined ? file : file.slice(range.start, range.end) }
  }

  #names(sql: string, { after = '', limit }: Page, ...values: string[]): string[] {
    return this.#store.database.all<{ name: string }>(sql, ...values, after, limit).map(({ name }) => name)
  }
}

/** A blob that is composed of others, whose pieces are given in a buffer that is used again. */
function streamOf(source: ByteSource): ReadableStream<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { done, value } = await pieces.next()
      if (done === true) controller.close()
      else controller.enqueue(new Uint8Array(value))
    },
    cancel: async () => {
      await pieces.return?.()
    },
  })
}
