import type { BlobIdentity, Expected } from '../../content/blobs.ts'
import type { Lease } from '../../content/leases.ts'
import type { ByteSource } from '../../streams/source.ts'

/** A file of an archive. */
export interface ArchiveFile {
  /** Bytes. */
  readonly size: number
  /** Its bytes. May be called again; the pieces are valid until the next one is asked for. */
  read(): ByteSource
  /** Makes it a blob of the store. Fails with BLOB_CORRUPT where it is not what is expected. */
  store(lease: Lease, expected: Expected): Promise<BlobIdentity>
}
