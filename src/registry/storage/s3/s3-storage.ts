import type { Digest, DigestAlgorithm } from '../../../oci/digest.ts'
import type {
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
} from '../registry-storage.ts'
import { S3Blobs } from './blobs.ts'
import { Bucket, type BucketOptions } from '../../../object-storage/bucket.ts'
import { type CollectedParts, collectBucketGarbage } from './garbage.ts'
import { GuardedObjects, isTombstone } from './guarded-objects.ts'
import { digestInKey, keys } from './layout.ts'
import { S3Manifests } from './manifests.ts'
import { S3Uploads } from './uploads.ts'

export interface S3StorageOptions extends BucketOptions {
  /** Whether clients get blobs from the object storage by signed URLs, or from this server. */
  readonly isRedirecting: boolean
}

/**
 * A registry's content in a bucket of an S3-compatible object storage, and nowhere else: any number of processes may
 * serve one bucket, on any machines, and each may die at any moment. The object storage has to know conditional PUT
 * (If-Match, If-None-Match) and to show at once what was written, as Amazon's, Ceph's and MinIO's do. Throws as
 * {@link Bucket.check}.
 */
export async function openS3Storage(options: S3StorageOptions): Promise<RegistryStorage> {
  const bucket = new Bucket(options)
  await bucket.check()
  return new S3Storage(bucket, options.isRedirecting)
}

class S3Storage implements RegistryStorage {
  readonly #parts: CollectedParts

  constructor(bucket: Bucket, isRedirecting: boolean) {
    const guarded = new GuardedObjects(bucket)
    const blobs = new S3Blobs(bucket, guarded, isRedirecting)
    const manifests = new S3Manifests(bucket, guarded, blobs)
    this.#parts = { bucket, guarded, blobs, manifests, uploads: new S3Uploads(bucket, guarded, blobs) }
  }

  async hasRepository(repository: string): Promise<boolean> {
    return (await this.#parts.guarded.head(keys.catalog(repository))) !== undefined
  }

  listRepositories(page: Page): Promise<readonly string[]> {
    return this.#names('catalog/', page)
  }

  async findBlob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const { blobs } = this.#parts
    const record = await blobs.find(repository, digest)
    return record === undefined ? undefined : blobs.stored(record)
  }

  mountBlob(repository: string, digest: Digest, from: string): Promise<boolean> {
    return this.#parts.blobs.mount(repository, digest, from)
  }

  async repositoriesWith(digest: Digest, page: Page): Promise<readonly string[]> {
    if ((await this.#parts.blobs.record(digest)) === undefined) return []
    return await this.#names(keys.links(digest), page)
  }

  async blobBytes(repository: string): Promise<number> {
    const sizes = new Map<Digest, number>()
    const prefix = keys.blobs(repository)
    for await (const { key } of this.#parts.bucket.list(prefix)) {
      const digest = digestInKey(key, prefix)
      if (digest !== undefined) sizes.set(digest, Number(key.slice(key.lastIndexOf('/') + 1)))
    }
    return [...sizes.values()].reduce((total, size) => total + size, 0)
  }

  async deleteBlob(repository: string, digest: Digest): Promise<boolean> {
    return (await this.#parts.blobs.delete(repository, digest)) !== undefined
  }

  beginUpload(repository: string, options: UploadOptions): Promise<UploadState> {
    return this.#parts.uploads.begin(repository, options)
  }

  findUpload(repository: string, id: string): Promise<UploadState | undefined> {
    return this.#parts.uploads.find(repository, id)
  }

  openUpload(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<UploadWriter | undefined> {
    return this.#parts.uploads.open(repository, id, algorithm)
  }

  resolveManifest(repository: string, reference: string): Promise<ManifestEntry | undefined> {
    return this.#parts.manifests.resolve(repository, reference)
  }

  readManifest(repository: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#parts.manifests.read(repository, digest)
  }

  putManifest(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult> {
    return this.#parts.manifests.put(repository, manifest, options)
  }

  deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    return this.#parts.manifests.delete(repository, digest)
  }

  listTags(repository: string, page: Page): Promise<readonly string[]> {
    return this.#names(keys.tags(repository), page)
  }

  deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#parts.manifests.deleteTag(repository, tag)
  }

  listReferrers(repository: string, subject: Digest, page: ReferrersPage): Promise<ReferrersResult> {
    return this.#parts.manifests.referrers(repository, subject, page)
  }

  collectGarbage(policy: GarbagePolicy): Promise<RegistryGarbage> {
    return collectBucketGarbage(this.#parts, policy)
  }

  async close(): Promise<void> {}

  async #names(prefix: string, { after, limit }: Page): Promise<readonly string[]> {
    const names: string[] = []
    const start = after === undefined ? undefined : prefix + after
    for await (const object of this.#parts.bucket.list(prefix, { after: start, pageSize: limit })) {
      if (isTombstone(object)) continue
      names.push(object.key.slice(prefix.length))
      if (names.length >= limit) break
    }
    return names
  }
}
