import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest, DigestAlgorithm } from '../../oci/digest.ts'

/**
 * What a registry server keeps, and the only thing that it keeps: everything else about it is configuration, so any
 * number of servers may work on one storage at the same time, and each may die at any moment.
 *
 * What every storage promises (registry-storage.contract.ts holds each to it):
 *
 * - A repository sees what was pushed or mounted to it and nothing else. It exists from the first blob or manifest on.
 * - Blobs and manifests are content-addressed and verified before they are visible. What was confirmed survives the
 *   death of the process, and is seen at once by every server that shares the storage.
 * - A tag moves from one manifest to another in one step; the last writer wins. A manifest is there, with its entry
 *   among the referrers of its subject, before any tag leads to it.
 * - An upload has one writer at a time, among all servers.
 * - Garbage collection may run at any time, also beside pushes.
 *
 * Names of repositories and tags, and digests, were checked by the caller. Pages are in the order of bytes.
 */
export interface RegistryStorage {
  hasRepository(repository: string): Promise<boolean>
  listRepositories(page: Page): Promise<readonly string[]>

  /**
   * Undefined where the repository has no such blob. Who asks may rely on the blob for the grace time of garbage
   * collection.
   */
  findBlob(repository: string, digest: Digest): Promise<StoredBlob | undefined>
  /**
   * Makes a blob of the repository `from` one of `repository` too. False where `from` has none such. Throws DENIED where
   * the repository's blobs would have more bytes than `quota`; a bucket has no transaction to hold to that in, so there
   * what several do at one moment may go beyond.
   */
  mountBlob(repository: string, digest: Digest, from: string, quota?: number): Promise<boolean>
  /** Repositories that have the blob. */
  repositoriesWith(digest: Digest, page: Page): Promise<readonly string[]>
  /** Bytes of all blobs that a repository has. */
  blobBytes(repository: string): Promise<number>
  /** False where the repository has none such. Other repositories keep theirs; the space is freed with the last. */
  deleteBlob(repository: string, digest: Digest): Promise<boolean>

  beginUpload(repository: string, options: UploadOptions): Promise<UploadState>
  /** Undefined where there is no such upload of this repository. */
  findUpload(repository: string, id: string): Promise<UploadState | undefined>
  /**
   * Takes hold of an upload, waiting a few seconds for another writer to let go. Throws STORE_BUSY when that does not.
   * Undefined where there is no such upload of this repository. `algorithm` is that of the digest, where it is known.
   */
  openUpload(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<UploadWriter | undefined>

  /** What a tag or a digest leads to in the repository. */
  resolveManifest(repository: string, reference: string): Promise<ManifestEntry | undefined>
  /** The bytes of a manifest that {@link resolveManifest} has told of; undefined when it was deleted since. */
  readManifest(repository: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined>
  /** Stores a manifest and lets the tags lead to it. */
  putManifest(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult>
  /** Deletes a manifest with the tags that lead to it. False where there is none. */
  deleteManifest(repository: string, digest: Digest): Promise<boolean>

  listTags(repository: string, page: Page): Promise<readonly string[]>
  /** False where there is no such tag. */
  deleteTag(repository: string, tag: string): Promise<boolean>
  listReferrers(repository: string, subject: Digest, page: ReferrersPage): Promise<ReferrersResult>

  /** Removes what nothing needs any more, as {@link GarbagePolicy} says. */
  collectGarbage(policy: GarbagePolicy): Promise<RegistryGarbage>
  close(): Promise<void>
}

/** Up to `limit` items of a list, of those that come after `after`. */
export interface Page {
  readonly after?: string | undefined
  readonly limit: number
}

/** Part of a blob in bytes: from `start`, up to and without `end`. */
export interface BlobRange {
  readonly start: number
  readonly end: number
}

export interface StoredBlob {
  /** Bytes. */
  readonly size: number
  /** The bytes, of which `range` chooses some. */
  read(range?: BlobRange): Promise<BlobContent> | BlobContent
}

/** How the bytes of a blob reach the client: by this server, or from where the storage keeps them. */
export type BlobContent =
  | { readonly kind: 'body'; readonly body: Blob | ReadableStream<Uint8Array> }
  | { readonly kind: 'elsewhere'; readonly url: string }

export interface UploadOptions {
  /** What the digest is expected to be made with; another one costs a second pass over the bytes. */
  readonly algorithm: DigestAlgorithm
  /** Who may go on with it; undefined where clients have no names. */
  readonly owner: string | undefined
}

export interface UploadState {
  readonly id: string
  readonly owner: string | undefined
  /** Bytes that have arrived. */
  readonly size: number
}

/** The only writer of an upload. Dispose of it to let go; what was written stays for the next one. */
export interface UploadWriter extends AsyncDisposable {
  readonly owner: string | undefined
  /** Bytes that have arrived. */
  readonly size: number
  /** Adds bytes, which may be changed once it has returned, or its promise is fulfilled. */
  write(bytes: Uint8Array): Promise<void> | void
  /** Takes back what this writer wrote. */
  rollback(): Promise<void>
  /**
   * Makes the bytes a blob of the repository and ends the upload. `false` means that they hash to something else: then
   * the upload has ended too. It has where this throws DENIED for more bytes than `quota`, as mountBlob() does.
   */
  commit(digest: Digest, quota?: number): Promise<boolean>
  /** Ends the upload and drops its bytes. */
  cancel(): Promise<void>
}

export interface ManifestEntry {
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
}

/** Something that a manifest names and that should be in its repository. */
export interface ManifestReference {
  readonly kind: 'blob' | 'manifest'
  readonly digest: Digest
  /** Bytes, as the manifest says. */
  readonly size: number
  /** It may be kept elsewhere: the manifest is taken without it. */
  readonly isOptional: boolean
}

/** A manifest that was checked. */
export interface PushedManifest extends ManifestEntry {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly references: readonly ManifestReference[]
  readonly subject: Digest | undefined
  /** What the referrers API shows of it. */
  readonly descriptor: Descriptor
}

export interface PutOptions {
  readonly tags: readonly string[]
  /** Whether a manifest may name what the repository does not have. */
  readonly missing: 'accept' | 'refuse'
  /** Whether tags that lead to another manifest are moved, or nothing is done. */
  readonly existingTags: 'move' | 'keep'
  /** What must be true of the first tag, or of the manifest where there is none: it is absent, or leads to this digest. */
  readonly condition?: 'absent' | Digest | undefined
}

/** What became of a manifest; all but `stored` have changed nothing. */
export type PutResult =
  | { readonly outcome: 'stored' }
  | { readonly outcome: 'missing'; readonly references: readonly ManifestReference[] }
  /** The repository has it in another size. */
  | { readonly outcome: 'size-differs'; readonly reference: ManifestReference; readonly size: number }
  | { readonly outcome: 'condition-failed' }
  /** One of the tags leads to another manifest, and may not be moved. */
  | { readonly outcome: 'tag-exists'; readonly tag: string }

export interface ReferrersPage {
  readonly artifactType?: string | undefined
  /** Digest of the last one of the page before. */
  readonly after?: string | undefined
  /** How many bytes of JSON the descriptors may take; there is at least one, if there is any. */
  readonly bytes: number
}

export interface ReferrersResult {
  readonly descriptors: readonly Descriptor[]
  /** Whether more follow. */
  readonly hasMore: boolean
}

/** What counts as garbage. Times are in milliseconds. */
export interface GarbagePolicy {
  /** Only tell what would go. */
  readonly isDryRun: boolean
  /** How long a blob that no manifest names is kept after a client last asked for it or pushed it. */
  readonly blobGrace: number
  /** How long an upload is kept on which nothing happens. */
  readonly uploadGrace: number
  /** How long a manifest is kept that no tag, index or subject leads to; undefined keeps them all. */
  readonly untaggedGrace: number | undefined
  /**
   * How long manifests of a repository are kept after they were last pushed, whatever leads to them: what a cache has can
   * be had again. Undefined for repositories that keep theirs.
   */
  readonly unusedGrace?: (repository: string) => number | undefined
  readonly signal?: AbortSignal
}

export interface GarbageItem {
  readonly kind: 'manifest' | 'blob' | 'upload'
  readonly repository: string
  /** Its digest, or the upload's ID. */
  readonly name: string
  /** Bytes; they are only freed when no other repository has it. */
  readonly size: number
}

export interface RegistryGarbage {
  readonly items: readonly GarbageItem[]
  /** Bytes that are free now. In a dry run, what can be told beforehand. */
  readonly freed: number
}
