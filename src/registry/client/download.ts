import { downloadLockName, downloadPath } from '../../content/downloads.ts'
import type { Lease } from '../../content/leases.ts'
import { withLock } from '../../content/lock.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, ftruncate, open, openFlags, pread, pwrite, startWriteback } from '../../linux/files.ts'
import { freeSpace } from '../../linux/free-space.ts'
import { makeDirectories, removeFile } from '../../linux/names.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { Digester, digestAlgorithm } from '../../oci/digest.ts'
import { isPassing, isSilence } from './http-exchange.ts'
import type { Repository } from './repository.ts'

export interface DownloadOptions {
  readonly store: Store
  /** Protects the blob. */
  readonly lease: Lease
  /** Where it may be had, best first. */
  readonly repositories: readonly Repository[]
  readonly signal: AbortSignal
  /** Milliseconds before going on after the first failure; 300 by default. */
  readonly firstPause?: number | undefined
  /**
   * Makes the blob of what the store has, under the lock of the download: gives the bytes that came over the network for
   * it, or undefined where it is to be fetched.
   */
  readonly compose?: (() => Promise<number | undefined>) | undefined
  /** Bytes of the blob from `start` on that may be had for less, as far as they go. They need not be right. */
  readonly pieces?: ((start: number) => AsyncIterable<BlobPieceBytes>) | undefined
  /** Told of the file that the bytes go to, before there are any. */
  readonly onFile?: (path: string) => void
  /** Told how many bytes are in the file for good. After `onFile`; may fall to nothing once, when a beginning was bad. */
  readonly onBytes?: (size: number) => void
}

/** Some bytes of a blob, valid until the next are asked for. */
export interface BlobPieceBytes {
  readonly bytes: Uint8Array
  /** True where they came over the network. */
  readonly isReceived: boolean
}

/** What became of a download. */
export interface Download {
  /** False where the blob was in the store already. */
  readonly isNew: boolean
  /** Bytes that came over the network. */
  readonly received: number
}

/** Attempts that brought next to nothing after which a download fails, and how many bytes are more than that. */
const fruitlessAttempts = 6
const leastProgress = 4096
const defaultPause = 300
const longestPause = 10_000
const writebackSize = 16 * 1024 * 1024

/**
 * Brings a blob into the store, its digest and size checked. What an interrupted attempt got, of this process or another,
 * is not fetched again: it is kept below `downloads/`, and the rest is asked for by its range. Of several processes one
 * fetches. Throws BLOB_CORRUPT and DISK_FULL (then nothing is kept), what {@link Repository.openBlob} throws, and the
 * reason of the signal.
 */
export async function downloadBlob(blob: Descriptor, options: DownloadOptions): Promise<Download> {
  const { store, lease, signal } = options
  const isHere = (): boolean => store.blobs.size(blob.digest) === blob.size && lease.claim(blob.digest)
  if (isHere()) return { isNew: false, received: 0 }
  const lock = { signal, purpose: 'to download a layer' }
  return await withLock(store, downloadLockName(blob.digest), lock, async () => {
    // The process that was waited for has probably done it.
    if (isHere()) return { isNew: false, received: 0 }
    const path = downloadPath(store, blob.digest)
    const composed = await options.compose?.()
    if (composed !== undefined) {
      removeFile(path)
      return { isNew: true, received: composed }
    }
    makeDirectories(store.path('downloads'), 0o700)
    const received = await new BlobDownload(blob, path, options).run()
    await lease.adopt(path, blob)
    return { isNew: true, received }
  })
}

/**
 * Fetches a blob into a file that is no part of the store, its digest and size checked. What the file has already is not
 * fetched again. Throws as {@link downloadBlob}; the file then stays, for another attempt, unless its bytes are wrong.
 */
export async function fetchBlob(
  blob: Descriptor,
  path: string,
  options: Pick<DownloadOptions, 'repositories' | 'signal' | 'firstPause' | 'onBytes'>,
): Promise<void> {
  await new BlobDownload(blob, path, options).run()
}

class BlobDownload {
  readonly #blob: Descriptor
  readonly #path: string
  readonly #options: Omit<DownloadOptions, 'store' | 'lease'>
  #digester: Digester
  #received = 0
  #flushed = 0

  constructor(blob: Descriptor, path: string, options: Omit<DownloadOptions, 'store' | 'lease'>) {
    this.#blob = blob
    this.#path = path
    this.#options = options
    this.#digester = new Digester(digestAlgorithm(blob.digest))
  }

  /** Fetches what the file lacks; gives the bytes that were fetched. */
  async run(): Promise<number> {
    const fd = open(this.#path, openFlags.O_RDWR | openFlags.O_CREAT, 0o600)
    try {
      this.#requireSpace(fd)
      this.#options.onFile?.(this.#path)
      let found = await this.#takeBeginning(fd)
      found += await this.#takePieces(fd)
      await this.#fetchRest(fd)
      if (this.#isRight()) return this.#received
      // The beginning may have been damaged since it was written, or put together wrongly: then all is fetched anew, once.
      if (found > 0) {
        this.#restart(fd)
        await this.#fetchRest(fd)
        if (this.#isRight()) return this.#received
      }
      throw new CairnError('BLOB_CORRUPT', `blob ${this.#blob.digest} arrived with other bytes than its digest says`, {
        hint: 'The registry, or what is between it and this machine, gave wrong data. Nothing of it was kept.',
      })
    } catch (error) {
      // Half a blob must not be what keeps a disk full, nor is nothing worth a file.
      const isKept =
        this.#digester.size > 0 && !isCairnError(error, 'BLOB_CORRUPT') && !isCairnError(error, 'DISK_FULL')
      if (!isKept) removeFile(this.#path)
      throw error
    } finally {
      close(fd)
    }
  }

  /** What cannot fit is not begun with: a manifest may say any size. */
  #requireSpace(fd: number): void {
    const { digest, size } = this.#blob
    const missing = size - fstat(fd).size
    const { bytes } = freeSpace(this.#path)
    if (missing > bytes)
      throw new CairnError(
        'DISK_FULL',
        `no space left on device: blob ${digest} takes ${missing} bytes more, of which ${this.#path} can have ${bytes}`,
      )
  }

  /** Hashes what an earlier attempt left; gives its size. */
  async #takeBeginning(fd: number): Promise<number> {
    const { size } = fstat(fd)
    if (size > this.#blob.size) {
      this.#restart(fd)
      return 0
    }
    const buffer = new Uint8Array(new ArrayBuffer(1024 * 1024))
    while (this.#digester.size < size) {
      const count = pread(fd, buffer, this.#digester.size, this.#path)
      if (count === 0) break
      this.#digester.update(buffer.subarray(0, count))
      this.#options.onBytes?.(this.#digester.size)
      await Bun.sleep(0)
      this.#options.signal.throwIfAborted()
    }
    return this.#digester.size
  }

  /** Takes what may be had for less; gives its size. Where that fails the rest is fetched as it would be anyway. */
  async #takePieces(fd: number): Promise<number> {
    const { pieces, signal } = this.#options
    const before = this.#digester.size
    if (pieces === undefined || before >= this.#blob.size) return 0
    try {
      for await (const { bytes, isReceived } of pieces(before)) {
        signal.throwIfAborted()
        if (isReceived) this.#received += bytes.length
        this.#append(fd, bytes)
      }
    } catch (error) {
      signal.throwIfAborted()
      if (isCairnError(error, 'DISK_FULL')) throw error
    }
    return this.#digester.size - before
  }

  #restart(fd: number): void {
    ftruncate(fd, 0, this.#path)
    this.#digester = new Digester(digestAlgorithm(this.#blob.digest))
    this.#options.onBytes?.(0)
  }

  #isRight(): boolean {
    return this.#digester.digest() === this.#blob.digest
  }

  async #fetchRest(fd: number): Promise<void> {
    const { repositories, signal, firstPause = defaultPause } = this.#options
    let failures = 0
    for (let source = 0; this.#digester.size < this.#blob.size || this.#blob.size === 0;) {
      const repository = repositories[source] as Repository
      const before = this.#digester.size
      try {
        await this.#receive(fd, repository)
        return
      } catch (error) {
        signal.throwIfAborted()
        const hasMore = this.#digester.size - before >= leastProgress
        // Who was silent all the time was waited for long enough.
        failures = hasMore ? 1 : isSilence(error) ? fruitlessAttempts : failures + 1
        const isLast = source === repositories.length - 1
        const isGone = this.#received > 0 && isCairnError(error, 'CONNECTION_REFUSED')
        const isWorthAnother = (isPassing(error) || isGone) && failures < fruitlessAttempts
        if (!isWorthAnother && (isLast || isCairnError(error, 'DISK_FULL'))) throw error
        if (!isWorthAnother) {
          source++
          failures = 0
          continue
        }
        await Bun.sleep(Math.min(longestPause, firstPause * 2 ** (failures - 1)) * (0.5 + Math.random()))
      }
    }
  }

  async #receive(fd: number, repository: Repository): Promise<void> {
    const { digest, size } = this.#blob
    const part = await repository.openBlob(this.#blob, this.#digester.size)
    // A registry without ranges sends again what is here already.
    let skip = this.#digester.size - part.start
    for await (const bytes of part.body) {
      this.#options.signal.throwIfAborted()
      this.#received += bytes.length
      const fresh = skip === 0 ? bytes : bytes.subarray(Math.min(skip, bytes.length))
      skip -= bytes.length - fresh.length
      if (fresh.length === 0) continue
      if (this.#digester.size + fresh.length > size) {
        part.cancel()
        throw new CairnError('BLOB_CORRUPT', `blob ${digest} is longer than the ${size} bytes its descriptor gives`)
      }
      this.#append(fd, fresh)
    }
    if (this.#digester.size < size)
      throw new CairnError('NETWORK', `blob ${digest} ended after ${this.#digester.size} of ${size} bytes`)
  }

  #append(fd: number, bytes: Uint8Array): void {
    pwrite(fd, bytes, this.#digester.size, this.#path)
    this.#digester.update(bytes)
    this.#options.onBytes?.(this.#digester.size)
    this.#flush(fd)
  }

  /** Has the kernel write while more arrives, so that little is left to wait for at the end. */
  #flush(fd: number): void {
    const ready = this.#digester.size - this.#flushed
    if (ready < writebackSize) return
    startWriteback(fd, this.#flushed, ready)
    this.#flushed += ready
  }
}
