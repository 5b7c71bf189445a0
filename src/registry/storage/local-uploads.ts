import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { fstat, tryLstat } from '../../linux/file-status.ts'
import {
  close,
  ftruncate,
  open,
  openFlags,
  pread,
  pwrite,
  startWriteback,
  tryLock,
  tryOpen,
} from '../../linux/files.ts'
import { reserveSpace } from '../../linux/free-space.ts'
import { makeDirectories, removeFile } from '../../linux/names.ts'
import { type Digest, type DigestAlgorithm, Digester, digestAlgorithm } from '../../oci/digest.ts'
import type { GroupSync } from './group-sync.ts'
import { addBlob, checkQuota, freeBlobs } from './local-blobs.ts'
import type { UploadOptions, UploadState, UploadWriter } from './registry-storage.ts'

/** How long a writer waits for another one to let go of the upload, in milliseconds: a connection that broke is noticed within that. */
const lockPatience = 5_000
const lockPause = 20
/** Hash states kept between the requests of uploads that go on in this process. */
const keptHashes = 1_000
const pieceSize = 1024 * 1024
/** Bytes after which the kernel begins to bring them to the disk, so that the end of an upload waits for little. */
const writebackSize = 16 * 1024 * 1024
/** Bytes of the disk that an upload which has become that large takes at once. */
const reservedSize = 64 * 1024 * 1024

interface UploadRow {
  readonly owner: string | null
  readonly algorithm: DigestAlgorithm
}

/**
 * Uploads that have not ended: a row in the database and a file `registry/uploads/<id>`, whose size is how far it got.
 * Nothing else is needed to go on with one, in whatever process. The file is locked by its writer.
 */
export class LocalUploads {
  readonly disk: GroupSync
  readonly #store: Store
  readonly #hashes = new Map<string, Digester>()

  constructor(store: Store, disk: GroupSync) {
    this.#store = store
    this.disk = disk
  }

  begin(repository: string, { algorithm, owner }: UploadOptions): UploadState {
    const id = crypto.randomUUID()
    const path = this.path(id)
    close(createFile(path))
    this.#store.database.run(
      'INSERT INTO registry_uploads VALUES (?, ?, ?, ?, ?)',
      id,
      repository,
      algorithm,
      owner ?? null,
      Date.now(),
    )
    return { id, owner, size: 0 }
  }

  find(repository: string, id: string): UploadState | undefined {
    const row = this.#row(repository, id)
    const size = row === undefined ? undefined : tryLstat(this.path(id))?.size
    return row === undefined || size === undefined ? undefined : { id, owner: row.owner ?? undefined, size }
  }

  async open(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<LocalUpload | undefined> {
    const row = this.#row(repository, id)
    const fd = row === undefined ? undefined : await this.#lock(id)
    if (row === undefined || fd === undefined) return undefined
    const { size } = fstat(fd)
    const known = this.#hashes.get(id)
    this.#hashes.delete(id)
    // Bytes that another process has added are not in this one's hash.
    const hash = size === 0 ? new Digester(algorithm ?? row.algorithm) : known?.size === size ? known : undefined
    return new LocalUpload(this.#store, { id, repository, owner: row.owner ?? undefined, fd, size, hash }, this)
  }

  path(id: string): string {
    return this.#store.path('registry', 'uploads', id)
  }

  /** Keeps the state of a hash for the next request of the upload. */
  keepHash(id: string, hash: Digester): void {
    this.#hashes.set(id, hash)
    for (const oldest of this.#hashes.keys()) {
      if (this.#hashes.size <= keptHashes) return
      this.#hashes.delete(oldest)
    }
  }

  /** Drops an upload on which nothing has happened since `before`; gives its size, or undefined where somebody writes. */
  expire(id: string, before: number): number | undefined {
    const { database } = this.#store
    const path = this.path(id)
    const fd = tryOpen(path, openFlags.O_RDWR | openFlags.O_NOFOLLOW)
    try {
      if (fd !== undefined && !tryLock(fd, 'exclusive', path)) return undefined
      const size = fd === undefined ? 0 : fstat(fd).size
      if (database.run('DELETE FROM registry_uploads WHERE id = ? AND used_at < ?', id, before) === 0) return undefined
      if (fd !== undefined) removeFile(path)
      return size
    } finally {
      if (fd !== undefined) close(fd)
    }
  }

  #row(repository: string, id: string): UploadRow | undefined {
    return this.#store.database.one<UploadRow>(
      'SELECT owner, algorithm FROM registry_uploads WHERE id = ? AND repository = ?',
      id,
      repository,
    )
  }

  /** The locked file of an upload; undefined where it has ended. */
  async #lock(id: string): Promise<number | undefined> {
    const path = this.path(id)
    const fd = tryOpen(path, openFlags.O_RDWR | openFlags.O_NOFOLLOW)
    if (fd === undefined) return undefined
    try {
      const deadline = Date.now() + lockPatience
      while (!tryLock(fd, 'exclusive', path)) {
        if (Date.now() > deadline)
          throw new CairnError('STORE_BUSY', `upload ${id} is being written by another request`, {
            hint: 'Wait until that has ended, or ask how far the upload is.',
          })
        await Bun.sleep(lockPause)
      }
      if (fstat(fd).nlink > 0) return fd
    } catch (error) {
      close(fd)
      throw error
    }
    close(fd)
    return undefined
  }
}

interface OpenUpload {
  readonly id: string
  readonly repository: string
  readonly owner: string | undefined
  readonly fd: number
  readonly size: number
  readonly hash: Digester | undefined
}

class LocalUpload implements UploadWriter {
  readonly owner: string | undefined
  readonly #store: Store
  readonly #uploads: LocalUploads
  readonly #id: string
  readonly #repository: string
  readonly #path: string
  readonly #start: number
  #fd: number
  #size: number
  #flushed: number
  /** Up to here the disk has room for it. */
  #reserved: number
  #hash: Digester | undefined

  constructor(store: Store, { id, repository, owner, fd, size, hash }: OpenUpload, uploads: LocalUploads) {
    this.owner = owner
    this.#store = store
    this.#uploads = uploads
    this.#id = id
    this.#repository = repository
    this.#path = uploads.path(id)
    this.#start = size
    this.#fd = fd
    this.#size = size
    this.#flushed = size
    this.#reserved = size
    this.#hash = hash
  }

  get size(): number {
    return this.#size
  }

  write(bytes: Uint8Array): void {
    if (this.#size >= writebackSize && this.#size + bytes.length > this.#reserved) {
      reserveSpace(this.#fd, this.#size, reservedSize)
      this.#reserved = this.#size + reservedSize
    }
    pwrite(this.#fd, bytes, this.#size, this.#path)
    this.#hash?.update(bytes)
    this.#size += bytes.length
    if (this.#size - this.#flushed < writebackSize) return
    startWriteback(this.#fd, this.#flushed, this.#size - this.#flushed)
    this.#flushed = this.#size
  }

  rollback(): Promise<void> {
    if (this.#size !== this.#start) {
      ftruncate(this.#fd, this.#start, this.#path)
      this.#size = this.#start
      this.#flushed = this.#start
      this.#reserved = this.#start
      this.#hash = undefined
    }
    return Promise.resolve()
  }

  async commit(digest: Digest, quota?: number): Promise<boolean> {
    if ((await this.#digest(digestAlgorithm(digest))) !== digest) {
      await this.cancel()
      return false
    }
    try {
      checkQuota(this.#store, this.#repository, digest, this.#size, quota)
      await this.#keep(digest, quota)
    } catch (error) {
      if (!isCairnError(error, 'DENIED')) throw error
      await this.cancel()
      await freeBlobs(this.#store, [digest])
      throw error
    }
    this.#close()
    await this.#uploads.disk.sync()
    return true
  }

  async #keep(digest: Digest, quota: number | undefined): Promise<void> {
    const { database } = this.#store
    using lease = acquireLease(this.#store)
    this.#trim()
    await lease.adopt(this.#path, { digest, size: this.#size })
    await this.#uploads.disk.settle()
    database.transaction(() => {
      checkQuota(this.#store, this.#repository, digest, this.#size, quota)
      addBlob(this.#store, this.#repository, digest, this.#size)
      database.run('DELETE FROM registry_uploads WHERE id = ?', this.#id)
    })
  }

  cancel(): Promise<void> {
    removeFile(this.#path)
    this.#store.database.run('DELETE FROM registry_uploads WHERE id = ?', this.#id)
    this.#close()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd < 0) return Promise.resolve()
    if (this.#hash !== undefined) this.#uploads.keepHash(this.#id, this.#hash)
    this.#trim()
    this.#close()
    this.#store.database.run('UPDATE registry_uploads SET used_at = ? WHERE id = ?', Date.now(), this.#id)
    return Promise.resolve()
  }

  /** The digest of all bytes. Where they were not hashed as they came, they are read again. */
  async #digest(algorithm: DigestAlgorithm): Promise<Digest> {
    if (this.#hash?.algorithm === algorithm) return this.#hash.digest()
    const hash = new Digester(algorithm)
    const buffer = new Uint8Array(new ArrayBuffer(pieceSize))
    while (hash.size < this.#size) {
      const count = pread(this.#fd, buffer, hash.size, this.#path)
      if (count === 0) break
      hash.update(buffer.subarray(0, count))
      // Other requests go on meanwhile.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return hash.digest()
  }

  /** Gives back what was reserved and not written, also by a process that died. */
  #trim(): void {
    if (this.#size >= writebackSize) ftruncate(this.#fd, this.#size, this.#path)
  }

  #close(): void {
    if (this.#fd < 0) return
    close(this.#fd)
    this.#fd = -1
  }
}

function createFile(path: string): number {
  const flags = openFlags.O_RDWR | openFlags.O_CREAT | openFlags.O_EXCL
  try {
    return open(path, flags, 0o644)
  } catch (error) {
    if (!isErrno(error, errno.ENOENT)) throw error
    makeDirectories(path.slice(0, path.lastIndexOf('/')), 0o700)
    return open(path, flags, 0o644)
  }
}
