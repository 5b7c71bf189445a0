import { CairnError } from '../errors/error.ts'
import { SystemCallError, errno, isErrno } from '../linux/errno.ts'
import { fstat, tryLstat } from '../linux/file-status.ts'
import { close, fdatasync, open, openFlags, pread, write } from '../linux/files.ts'
import { makeDirectories, removeFile, rename } from '../linux/names.ts'
import { type Digest, type DigestAlgorithm, Digester, digestAlgorithm, digestHex, digestOf } from '../oci/digest.ts'
import { layoutPaths } from '../oci/layout.ts'
import type { ByteSource } from '../streams/source.ts'

/** What a blob is known by. */
export interface BlobIdentity {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

/** Part of a blob in bytes: from `start`, up to and without `end`. */
export interface ByteRange {
  readonly start?: number
  readonly end?: number
}

/** Finished blobs. What is seen here was verified when it came. */
export interface BlobReader {
  has(digest: Digest): boolean
  /** Bytes, or undefined where there is no such blob. */
  size(digest: Digest): number | undefined
  /** The file of a blob that is in one piece, whether or not it is there. Never to be written. */
  path(digest: Digest): string
  /** {@link path} where that is there; undefined also for a blob that is composed of others, which {@link open} reads. */
  file(digest: Digest): string | undefined
  /** The bytes in order, in a buffer that is used again for each piece. Fails with BLOB_UNKNOWN. */
  open(digest: Digest, range?: ByteRange): ByteSource
  /** True where the blob is there and its bytes are what its digest says: all of it is read. */
  isWhole(digest: Digest): Promise<boolean>
  /** The whole blob, its digest checked. Fails with BLOB_UNKNOWN, LIMIT_EXCEEDED past `limit` bytes, BLOB_CORRUPT. */
  readAll(digest: Digest, limit: number): Uint8Array<ArrayBuffer>
}

/** One blob on its way in: invisible until {@link Ingest.commit}. */
export interface Ingest {
  /** Bytes so far. */
  readonly size: number
  /** Adds bytes. Fails with BLOB_CORRUPT beyond the expected size and with DISK_FULL; the ingest is then gone. */
  write(bytes: Uint8Array): void
  /**
   * Verifies what was expected and makes the blob visible, in place of one that is there already. Fails with
   * BLOB_CORRUPT. Whatever happens, no temporary file remains.
   */
  commit(): Promise<BlobIdentity>
  /** Drops everything; nothing happens after commit. */
  abort(): void
}

/** What an ingest must turn out to be; a digest also chooses the algorithm, which else is sha256. */
export interface Expected {
  readonly digest?: Digest
  readonly size?: number
}

/** Where blobs come in. What it takes is safe from garbage collection for as long as the writer lives. */
export interface BlobWriter {
  /** Begins a blob. */
  ingest(expected?: Expected): Ingest
  /** Stores bytes held in memory. */
  put(bytes: Uint8Array): Promise<BlobIdentity>
  /**
   * Takes over a file that was written below the session's directory and hashed on the way: it is moved, not copied.
   * Fails with BLOB_CORRUPT when its size is another.
   */
  adopt(path: string, known: BlobIdentity): Promise<BlobIdentity>
  /** Protects the blob and tells whether it is there: the only safe way to rely on one that already exists. */
  claim(digest: Digest): boolean
  /** As {@link claim}, and tells whether its bytes are what its digest says. */
  claimWhole(digest: Digest): Promise<boolean>
}

/** What a writer needs of its surroundings. */
export interface BlobPlaces {
  /** Directory of the `blobs` directory. */
  readonly content: string
  /** The blobs that are there already. */
  readonly blobs: Pick<BlobReader, 'has' | 'isWhole'>
  /** A new path on the same file system. */
  temporaryPath(label: string): string
  /** Called before a blob becomes visible or is relied upon. */
  protect(digest: Digest): void
  /** Told of the directory in which a blob got its name, which is not brought to the disk here. */
  named?(directory: string): void
}

const pieceSize = 1024 * 1024
/** Up to this size a file is brought to the disk while the event loop waits: a thread's round trip costs more. */
const inlineSync = 256 * 1024

/** Reads the blobs under `<content>/blobs`. */
export function blobReader(content: string): BlobReader {
  const path = (digest: Digest) => blobPath(content, digest)
  return {
    path,
    file: (digest) => (tryLstat(path(digest)) === undefined ? undefined : path(digest)),
    has: (digest) => tryLstat(path(digest)) !== undefined,
    size: (digest) => tryLstat(path(digest))?.size,
    open: (digest, range) => readFile(digest, path(digest), range),
    isWhole: (digest) => hasDigest(readFile(digest, path(digest)), digest),
    readAll: (digest, limit) => readWhole(digest, path(digest), limit),
  }
}

/** Writes blobs under `<content>/blobs`. */
export function blobWriter(places: BlobPlaces): BlobWriter {
  return {
    ingest: (expected = {}) => new FileIngest(places, expected),
    put: (bytes) => {
      const ingest = new FileIngest(places, { size: bytes.length })
      ingest.write(bytes)
      return ingest.commit()
    },
    adopt: (path, known) => adopt(places, path, known),
    claim: (digest) => {
      places.protect(digest)
      return places.blobs.has(digest)
    },
    claimWhole: (digest) => {
      places.protect(digest)
      return places.blobs.isWhole(digest)
    },
  }
}

class FileIngest implements Ingest {
  readonly #places: BlobPlaces
  readonly #expected: Expected
  readonly #path: string
  readonly #digester: Digester
  #fd: number

  constructor(places: BlobPlaces, expected: Expected) {
    const algorithm: DigestAlgorithm = expected.digest === undefined ? 'sha256' : digestAlgorithm(expected.digest)
    this.#places = places
    this.#expected = expected
    this.#digester = new Digester(algorithm)
    this.#path = places.temporaryPath('blob')
    this.#fd = open(this.#path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o644)
  }

  get size(): number {
    return this.#digester.size
  }

  write(bytes: Uint8Array): void {
    const fd = this.#open()
    try {
      const { size } = this.#expected
      if (size !== undefined && this.size + bytes.length > size)
        throw new CairnError('BLOB_CORRUPT', `${this.#name()} is longer than the ${size} bytes it should have`)
      this.#digester.update(bytes)
      write(fd, bytes, this.#path)
    } catch (error) {
      this.abort()
      throw error
    }
  }

  async commit(): Promise<BlobIdentity> {
    const fd = this.#open()
    try {
      const blob = { size: this.size, digest: this.#digester.digest() }
      this.#verify(blob)
      await flush(fd, blob.size, this.#path)
      publish(this.#places, this.#path, blob)
      this.#close()
      return blob
    } catch (error) {
      this.abort()
      throw error
    }
  }

  abort(): void {
    if (this.#fd < 0) return
    this.#close()
    removeFile(this.#path)
  }

  #verify(blob: BlobIdentity): void {
    const { digest = blob.digest, size = blob.size } = this.#expected
    if (digest === blob.digest && size === blob.size) return
    throw new CairnError(
      'BLOB_CORRUPT',
      `blob ${digest} (${size} bytes) arrived as ${blob.digest} (${blob.size} bytes)`,
    )
  }

  #name(): string {
    return this.#expected.digest === undefined ? 'blob' : `blob ${this.#expected.digest}`
  }

  #open(): number {
    if (this.#fd < 0) throw new Error('this ingest has ended')
    return this.#fd
  }

  #close(): void {
    close(this.#fd)
    this.#fd = -1
  }
}

async function adopt(places: BlobPlaces, path: string, known: BlobIdentity): Promise<BlobIdentity> {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
  try {
    const { size } = fstat(fd)
    if (size !== known.size)
      throw new CairnError('BLOB_CORRUPT', `blob ${known.digest} was written as ${size} bytes, not ${known.size}`)
    await flush(fd, size, path)
    publish(places, path, known)
  } catch (error) {
    removeFile(path)
    throw error
  } finally {
    close(fd)
  }
  return { digest: known.digest, size: known.size }
}

/** Brings a file's bytes to the disk; a large one on another thread, so that the event loop lives. */
async function flush(fd: number, size: number, path: string): Promise<void> {
  if (size <= inlineSync) {
    fdatasync(fd, path)
    return
  }
  const { fdatasync: sync } = await import('node:fs')
  await new Promise<void>((resolve, reject) => {
    sync(fd, (error) => (error === null ? resolve() : reject(syncFailure(error, path))))
  })
}

function syncFailure(error: NodeJS.ErrnoException, path: string): Error {
  return error.errno === undefined ? error : new SystemCallError('fdatasync', Math.abs(error.errno), path)
}

/**
 * Gives the verified file its place, also where a file is: whoever brings a blob in again heals one that was damaged
 * on the disk.
 */
function publish(places: BlobPlaces, path: string, blob: BlobIdentity): void {
  places.protect(blob.digest)
  const target = blobPath(places.content, blob.digest)
  const directory = target.slice(0, target.lastIndexOf('/'))
  try {
    rename(path, target)
  } catch (error) {
    if (!isErrno(error, errno.ENOENT)) throw error
    makeDirectories(directory, 0o755)
    rename(path, target)
  }
  places.named?.(directory)
}

function blobPath(content: string, digest: Digest): string {
  return `${content}/${layoutPaths.blobs}/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

async function* readFile(digest: Digest, path: string, range: ByteRange = {}): ByteSource {
  const fd = openBlob(digest, path)
  try {
    const { size } = fstat(fd)
    const end = Math.min(range.end ?? size, size)
    let position = range.start ?? 0
    if (position >= end) return
    const buffer = new Uint8Array(new ArrayBuffer(Math.min(pieceSize, end - position)))
    while (position < end) {
      const count = pread(fd, buffer.subarray(0, Math.min(buffer.length, end - position)), position, path)
      if (count === 0) throw new CairnError('BLOB_CORRUPT', `blob ${digest} became shorter while it was read`)
      position += count
      yield buffer.subarray(0, count)
    }
  } finally {
    close(fd)
  }
}

/** True where all bytes of a blob can be read and are what its digest says. */
export async function hasDigest(source: ByteSource, digest: Digest): Promise<boolean> {
  const digester = new Digester(digestAlgorithm(digest))
  try {
    for await (const bytes of source) digester.update(bytes)
  } catch (error) {
    if (error instanceof CairnError) return false
    throw error
  }
  return digester.digest() === digest
}

function readWhole(digest: Digest, path: string, limit: number): Uint8Array<ArrayBuffer> {
  const fd = openBlob(digest, path)
  try {
    const { size } = fstat(fd)
    checkLimit(digest, size, limit)
    const bytes = new Uint8Array(new ArrayBuffer(size))
    fill(bytes, fd, 0, path)
    return checked(bytes, digest)
  } finally {
    close(fd)
  }
}

/** Reads from `position` on until `bytes` are full or the file ends. */
export function fill(bytes: Uint8Array, fd: number, position: number, path: string): void {
  for (let filled = 0; filled < bytes.length;) {
    const count = pread(fd, bytes.subarray(filled), position + filled, path)
    if (count === 0) break
    filled += count
  }
}

/** Throws LIMIT_EXCEEDED for a blob that is not to be held in memory. */
export function checkLimit(digest: Digest, size: number, limit: number): void {
  if (size > limit)
    throw new CairnError('LIMIT_EXCEEDED', `blob ${digest} has ${size} bytes, more than the limit of ${limit}`)
}

/** The bytes of a blob of the store; throws BLOB_CORRUPT where they are not what its digest says. */
export function checked(bytes: Uint8Array<ArrayBuffer>, digest: Digest): Uint8Array<ArrayBuffer> {
  const found = digestOf(bytes, digestAlgorithm(digest))
  if (found !== digest) throw new CairnError('BLOB_CORRUPT', `blob ${digest} is damaged on disk: it reads as ${found}`)
  return bytes
}

function openBlob(digest: Digest, path: string): number {
  try {
    return open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
  } catch (cause) {
    if (isErrno(cause, errno.ENOENT))
      throw new CairnError('BLOB_UNKNOWN', `blob ${digest} is not in the store`, { cause })
    throw cause
  }
}
