import { CairnError, isCairnError } from '../../errors/error.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { close, open, openFlags, pread } from '../../linux/files.ts'
import { removeFile } from '../../linux/names.ts'
import { type Digest, digestAlgorithm } from '../../oci/digest.ts'
import { GrowingFile } from '../../streams/growing-file.ts'
import { fetchBlob } from '../client/download.ts'
import type { BlobContent, BlobRange, RegistryStorage, StoredBlob } from '../storage/registry-storage.ts'
import { type ArrivingFile, arrivingPath, removeOldArrivals, tryTakeArriving } from './arriving-file.ts'
import { Recent } from './recent.ts'
import type { Upstream } from './upstream.ts'

const pieceSize = 1024 * 1024
/** Bytes that are waited for and sent with their Content-Length: Bun's server sends streams in chunks without one. */
const smallBody = 1024 * 1024
/** How many sizes of blobs are kept in memory, and for how long, in milliseconds. */
const knownSizes = 100_000
const sizeTime = 3_600_000
/** How long it counts that there is no such blob, in milliseconds. */
const absenceTime = 10_000
/** How often it is looked how far another server on this machine is with a blob, in milliseconds. */
const followPause = 50

export interface CachedBlobsOptions {
  readonly storage: RegistryStorage
  /** Directory for blobs that are on their way. */
  readonly directory: string
  readonly signal: AbortSignal
  readonly onFetched: (bytes: number) => void
}

interface Arrival {
  readonly file: GrowingFile
  /** Fulfilled when the blob is in the storage. */
  readonly stored: Promise<void>
}

/** A blob that is to be fetched. */
interface WantedBlob {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

/**
 * Blobs of upstreams. One request fetches a blob for all who want it, also of other servers with the same directory, and
 * they get the bytes while they come. The last byte is held back until the digest is found right, so nobody takes half a
 * blob or a wrong one for a whole one.
 */
export class CachedBlobs {
  readonly #options: CachedBlobsOptions
  readonly #arrivals = new Map<string, Arrival>()
  readonly #sizes = new Recent<number>(knownSizes)
  readonly #absent = new Recent<true>(knownSizes)

  constructor(options: CachedBlobsOptions) {
    this.#options = options
  }

  /** Takes note of the size of a blob, which a manifest of the same repository has told: it counts for no other one. */
  expect(name: string, digest: Digest, size: number): void {
    this.#sizes.put(`${name} ${digest}`, size, sizeTime)
  }

  /** A blob that the storage does not have; undefined where the upstream has none such either. */
  async find(upstream: Upstream, name: string, digest: Digest): Promise<StoredBlob | undefined> {
    const key = `${name} ${digest}`
    if (this.#absent.get(key) !== undefined) return undefined
    const size = this.#sizes.get(key) ?? (await upstream.repository(name).blobSize(digest))
    if (size === undefined) {
      this.#absent.put(key, true, absenceTime)
      return undefined
    }
    this.expect(name, digest, size)
    return { size, read: (range) => this.#read(upstream, name, { digest, size }, range) }
  }

  async #read(upstream: Upstream, name: string, blob: WantedBlob, range: BlobRange | undefined): Promise<BlobContent> {
    const { file, stored } = this.#arrival(upstream, name, blob)
    if (range === undefined && blob.size > smallBody) {
      const body = await streamOf(file)
      if (body !== undefined) return { kind: 'body', body }
    }
    await stored
    const found = await this.#options.storage.findBlob(name, blob.digest)
    if (found === undefined) throw new CairnError('BLOB_UNKNOWN', `blob ${blob.digest} was removed meanwhile`)
    return await found.read(range)
  }

  /** Removes beginnings of blobs that nobody goes on with; gives their bytes. */
  removeOld(before: number, isDryRun: boolean): number {
    return removeOldArrivals(this.#options.directory, before, isDryRun)
  }

  #arrival(upstream: Upstream, name: string, blob: WantedBlob): Arrival {
    const key = `${name} ${blob.digest}`
    const known = this.#arrivals.get(key)
    if (known !== undefined) return known
    const file = new GrowingFile(arrivingPath(this.#options.directory, name, blob.digest))
    const stored = this.#bring(upstream, name, blob, file).finally(() => this.#arrivals.delete(key))
    // Those who wait for it hear of a failure; where nobody does, the next request tries again.
    stored.catch((error: unknown) => {
      file.fail(error)
      if (isCairnError(error, 'BLOB_UNKNOWN')) this.#absent.put(key, true, absenceTime)
    })
    const arrival = { file, stored }
    this.#arrivals.set(key, arrival)
    return arrival
  }

  /** Fetches a blob, or follows how another server on this machine does until that has done it or has died. */
  async #bring(upstream: Upstream, name: string, blob: WantedBlob, file: GrowingFile): Promise<void> {
    const path = file.paths[0] as string
    for (let hasFollowed = false; ; hasFollowed = true) {
      using held = tryTakeArriving(path)
      if (held !== undefined) {
        if (!hasFollowed || (await this.#options.storage.findBlob(name, blob.digest)) === undefined)
          await this.#fetch(upstream, name, blob, file, held)
        file.grow(blob.size)
        file.end()
        removeFile(path)
        return
      }
      this.#options.signal.throwIfAborted()
      file.grow(Math.min(tryLstat(path)?.size ?? 0, blob.size - 1))
      await Bun.sleep(followPause)
    }
  }

  async #fetch(
    upstream: Upstream,
    name: string,
    { digest, size }: WantedBlob,
    file: GrowingFile,
    { path }: ArrivingFile,
  ): Promise<void> {
    const { signal, storage, onFetched } = this.#options
    let arrived = 0
    await fetchBlob({ mediaType: 'application/octet-stream', digest, size }, path, {
      repositories: [upstream.repository(name)],
      signal,
      firstPause: upstream.options.firstPause ?? 300,
      onBytes: (now) => {
        // What another had begun was damaged: who has read of it can only be cut off.
        if (now < arrived) file.fail(new CairnError('BLOB_CORRUPT', `the beginning of blob ${digest} was damaged`))
        arrived = now
        file.grow(Math.min(now, size - 1))
      },
    })
    onFetched(size)
    file.grow(size)
    file.end()
    await storeFile(storage, name, digest, path)
  }
}

/** Makes a file that was verified a blob of the storage. */
async function storeFile(storage: RegistryStorage, name: string, digest: Digest, path: string): Promise<void> {
  const algorithm = digestAlgorithm(digest)
  const { id } = await storage.beginUpload(name, { algorithm, owner: undefined })
  await using writer = await storage.openUpload(name, id, algorithm)
  if (writer === undefined) throw new CairnError('STORE_BUSY', `the upload of ${digest} to the cache was ended`)
  const fd = open(path, openFlags.O_RDONLY)
  try {
    const buffer = new Uint8Array(new ArrayBuffer(pieceSize))
    for (let at = 0; ;) {
      const count = pread(fd, buffer, at, path)
      if (count === 0) break
      await writer.write(buffer.subarray(0, count))
      at += count
      // Other requests go on meanwhile.
      await new Promise((resolve) => setImmediate(resolve))
    }
  } finally {
    close(fd)
  }
  if (!(await writer.commit(digest))) throw new CairnError('BLOB_CORRUPT', `blob ${digest} changed in the cache`)
}

/**
 * Waits for the first bytes: failures before those are answers, not broken connections. Undefined where the file is gone,
 * since another server has made a blob of it.
 */
async function streamOf(file: GrowingFile): Promise<ReadableStream<Uint8Array> | undefined> {
  const pieces = file.open()[Symbol.asyncIterator]()
  let next: Promise<IteratorResult<Uint8Array>> | undefined = pieces.next()
  try {
    await next
  } catch (error) {
    if (isErrno(error, errno.ENOENT)) return undefined
    throw error
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await (next ?? pieces.next())
        next = undefined
        if (done === true) controller.close()
        // The buffer is used again.
        else controller.enqueue(new Uint8Array(value))
      },
      async cancel() {
        await pieces.return?.(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}
