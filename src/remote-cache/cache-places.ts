import type { BlobIdentity } from '../content/blobs.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { ImageDocument } from '../oci/image-index.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { BlobContent } from '../registry/client/blob-content.ts'
import type { ByteSource } from '../streams/source.ts'
import type { BuildkitDocument } from './buildkit-records.ts'

/** A place that a cache is read from. */
export interface CacheSource {
  /** What the cache's name leads to: mostly one document, none where there is nothing. Throws what reaching it throws. */
  roots(): Promise<readonly ImageDocument[]>
  /** A manifest that an index leads to, checked. */
  document(descriptor: Descriptor): Promise<ImageDocument>
  /** All of a small blob, checked. Throws LIMIT_EXCEEDED past `limit` bytes, BLOB_UNKNOWN, BLOB_CORRUPT. */
  read(blob: Descriptor, limit: number): Promise<Uint8Array<ArrayBuffer>>
  /** The bytes of a blob, checked while they pass. Throws BLOB_UNKNOWN, BLOB_CORRUPT at the end. */
  open(blob: Descriptor): Promise<ByteSource>
  /** Brings a blob into the store, checked. Throws BLOB_UNKNOWN, BLOB_CORRUPT. */
  fetch(blob: Descriptor): Promise<void>
}

/** A place that a cache is written to. To be disposed of. */
export interface CacheTarget extends Disposable {
  /** Blobs that are sent at once; four if absent. */
  readonly parallelism?: number
  /** Whether the cache's name leads to BuildKit's document itself, which then is no blob. */
  readonly holdsDocument?: boolean
  /** True where the blob is there. */
  has(blob: BlobIdentity): Promise<boolean>
  /** Takes a blob; `key` names it among unfinished uploads. Gives what it turned out to be. */
  put(content: BlobContent, key: string): Promise<BlobIdentity>
  /** Takes a small blob. */
  putBytes(bytes: Uint8Array<ArrayBuffer>, digest: Digest): Promise<void>
  /** What the cache's name leads to at the moment, where that is a cache of this form. */
  current?(): Promise<Manifest | undefined>
  /** Has the cache's name lead to a manifest all of whose blobs are there, but for the document of {@link holdsDocument}. */
  commit(manifest: Uint8Array<ArrayBuffer>, descriptor: Descriptor, document: BuildkitDocument): Promise<void>
}
