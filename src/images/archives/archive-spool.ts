import type { BlobIdentity, Expected } from '../../content/blobs.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { close, open, openFlags, pread, write } from '../../linux/files.ts'
import { removeFile } from '../../linux/names.ts'
import { Digester, digestAlgorithm } from '../../oci/digest.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { ArchiveFile } from './archive-file.ts'

/** Files up to this size stay in memory, as long as all of them fit in the second. */
const smallFile = 64 * 1024
const allSmallFiles = 32 * 1024 * 1024
const pieceSize = 1024 * 1024

/** Keeps the files of an archive that passes by: small ones in memory, others as files that can become blobs by a move. */
export class ArchiveSpool {
  readonly #store: Store
  readonly #paths: string[] = []
  #inMemory = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** Takes `size` bytes. */
  async keep(size: number, content: ByteSource): Promise<ArchiveFile> {
    if (size <= smallFile && this.#inMemory + size <= allSmallFiles) {
      this.#inMemory += size
      return keepInMemory(size, content)
    }
    const path = this.#store.session.temporaryPath('archive')
    this.#paths.push(path)
    return await keepOnDisk(this.#store, path, content)
  }

  /** Removes what has not become a blob. */
  close(): void {
    for (const path of this.#paths.splice(0)) removeFile(path)
  }
}

async function keepInMemory(size: number, content: ByteSource): Promise<ArchiveFile> {
  const bytes = new Uint8Array(size)
  let filled = 0
  for await (const piece of content) {
    bytes.set(piece, filled)
    filled += piece.length
  }
  return {
    size,
    async *read() {
      yield bytes
    },
    store: async (lease, expected) => {
      const ingest = lease.ingest(expected)
      ingest.write(bytes)
      return await ingest.commit()
    },
  }
}

async function keepOnDisk(store: Store, path: string, content: ByteSource): Promise<ArchiveFile> {
  const digester = new Digester()
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o644)
  try {
    for await (const bytes of content) {
      digester.update(bytes)
      write(fd, bytes, path)
    }
  } finally {
    close(fd)
  }
  return new SpooledFile(store, path, { size: digester.size, digest: digester.digest() })
}

class SpooledFile implements ArchiveFile {
  readonly #store: Store
  readonly #blob: BlobIdentity
  #path: string
  #stored: Promise<BlobIdentity> | undefined

  constructor(store: Store, path: string, blob: BlobIdentity) {
    this.#store = store
    this.#path = path
    this.#blob = blob
  }

  get size(): number {
    return this.#blob.size
  }

  async *read(): ByteSource {
    const fd = open(this.#path, openFlags.O_RDONLY)
    try {
      const buffer = new Uint8Array(new ArrayBuffer(pieceSize))
      for (let position = 0; position < this.size;) {
        const count = pread(fd, buffer, position, this.#path)
        if (count === 0) throw new Error(`${this.#path} became shorter`)
        position += count
        yield buffer.subarray(0, count)
      }
    } finally {
      close(fd)
    }
  }

  async store(lease: Lease, expected: Expected): Promise<BlobIdentity> {
    const { digest = this.#blob.digest, size = this.size } = expected
    if (digestAlgorithm(digest) !== 'sha256') return await this.#copy(lease, expected)
    if (digest !== this.#blob.digest || size !== this.size)
      throw new CairnError(
        'BLOB_CORRUPT',
        `blob ${digest} (${size} bytes) is in the archive as ${this.#blob.digest} (${this.size} bytes)`,
      )
    this.#stored ??= this.#becomeBlob(lease)
    return await this.#stored
  }

  async #becomeBlob(lease: Lease): Promise<BlobIdentity> {
    const blob = await lease.adopt(this.#path, this.#blob)
    this.#path = this.#store.blobs.path(blob.digest)
    return blob
  }

  async #copy(lease: Lease, expected: Expected): Promise<BlobIdentity> {
    const ingest = lease.ingest(expected)
    try {
      for await (const bytes of this.read()) ingest.write(bytes)
      return await ingest.commit()
    } finally {
      ingest.abort()
    }
  }
}
