import { CairnError } from '../../../errors/error.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm, Digester } from '../../../oci/digest.ts'
import type { UploadOptions, UploadState, UploadWriter } from '../registry-storage.ts'
import type { S3Blobs } from './blobs.ts'
import type { Bucket, FoundObject, UploadedPart } from '../../../object-storage/bucket.ts'
import { freshMark, type GuardedObjects } from './guarded-objects.ts'
import { keys } from './layout.ts'

/** How long a writer counts as alive after it last said so, and how often it does, in milliseconds. */
export const writerLease = 10_000
const heartbeat = 3_000
/** How long a writer waits for another one to let go, in milliseconds: longer than one that died takes to be missed. */
const openPatience = 13_000
/** Parts of a multipart upload: at least 5 MiB, at most 10,000. The first 1,000 make 8 GB, all of them 584 GB. */
const partSizes = { small: 8 * 1024 * 1024, large: 64 * 1024 * 1024, smallCount: 1_000 } as const
/** Numbers left out where the writer before may still be sending parts. */
const numberGap = 50
/** Hash states kept between the requests of uploads that go on in this process. */
const keptHashes = 1_000

/** What is kept of an upload. */
export interface UploadDocument {
  readonly repository: string
  readonly owner?: string
  readonly algorithm: DigestAlgorithm
  /** The object that it becomes. */
  readonly data: string
  readonly multipart?: string
  readonly parts: readonly UploadedPart[]
  /** Part numbers from here on are free. */
  readonly nextNumber: number
  /** Bytes after the parts, in an object of their own. */
  readonly tail?: { readonly mark: string; readonly size: number }
  /** Who writes; it replaces this object now and then. */
  readonly writer?: string
}

/**
 * Uploads that have not ended. All that is needed to go on with one is in the bucket, so another server may. One writer
 * at a time: it is named in the state, which is replaced on condition, and it says that it lives by replacing it.
 */
export class S3Uploads {
  readonly bucket: Bucket
  readonly guarded: GuardedObjects
  readonly blobs: S3Blobs
  readonly #hashes = new Map<string, Digester>()

  constructor(bucket: Bucket, guarded: GuardedObjects, blobs: S3Blobs) {
    this.bucket = bucket
    this.guarded = guarded
    this.blobs = blobs
  }

  async begin(repository: string, { algorithm, owner }: UploadOptions): Promise<UploadState> {
    const id = crypto.randomUUID()
    const document: UploadDocument = {
      repository,
      ...(owner === undefined ? {} : { owner }),
      algorithm,
      data: crypto.randomUUID(),
      parts: [],
      nextNumber: 1,
    }
    await this.bucket.put({ key: keys.upload(id), body: JSON.stringify(document) })
    return { id, owner, size: 0 }
  }

  async find(repository: string, id: string): Promise<UploadState | undefined> {
    const found = await this.read(id)
    if (found?.document.repository !== repository) return undefined
    return { id, owner: found.document.owner, size: sizeOf(found.document) }
  }

  async open(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<S3Upload | undefined> {
    const deadline = Date.now() + openPatience
    for (let pause = 20; ; pause = Math.min(250, pause * 2)) {
      const found = await this.read(id)
      if (found?.document.repository !== repository) return undefined
      const { document, object } = found
      const isOrphan = document.writer !== undefined && object.age > writerLease
      if (document.writer === undefined || isOrphan) {
        const taken: UploadDocument = {
          ...document,
          writer: freshMark(),
          nextNumber: document.nextNumber + (isOrphan ? numberGap : 0),
        }
        const written = await this.guarded.replace(keys.upload(id), object.etag, JSON.stringify(taken))
        if (written !== undefined) return new S3Upload(this, id, taken, written.etag, this.#hash(id, taken, algorithm))
      }
      if (Date.now() > deadline)
        throw new CairnError('STORE_BUSY', `upload ${id} is being written by another request`, {
          hint: 'Wait until that has ended, or ask how far the upload is.',
        })
      await Bun.sleep(pause)
    }
  }

  /** The state of an upload; undefined where it has ended. */
  async read(id: string): Promise<{ readonly document: UploadDocument; readonly object: FoundObject } | undefined> {
    if (!/^[0-9a-f-]{36}$/.test(id)) return undefined
    const found = await this.guarded.get(keys.upload(id))
    if (found === undefined) return undefined
    return { document: JSON.parse(new TextDecoder().decode(found.bytes)) as UploadDocument, object: found.object }
  }

  /** Drops what an upload has in the bucket besides its state. */
  async drop(id: string, { data, multipart, tail }: UploadDocument): Promise<void> {
    if (multipart !== undefined) await this.bucket.abortMultipart(keys.data(data), multipart)
    if (tail !== undefined) await this.bucket.delete(keys.tail(id, tail.mark))
  }

  /** Keeps the state of a hash for the next request of the upload. */
  keepHash(id: string, hash: Digester): void {
    this.#hashes.set(id, hash)
    for (const oldest of this.#hashes.keys()) {
      if (this.#hashes.size <= keptHashes) return
      this.#hashes.delete(oldest)
    }
  }

  /** The hash of all bytes so far, where this process has it. */
  #hash(id: string, document: UploadDocument, algorithm = document.algorithm): Digester | undefined {
    const size = sizeOf(document)
    const known = this.#hashes.get(id)
    this.#hashes.delete(id)
    return size === 0 ? new Digester(algorithm) : known?.size === size ? known : undefined
  }
}

/** Bytes of an upload that are in the bucket. */
export function sizeOf({ parts, tail }: UploadDocument): number {
  return parts.reduce((total, { size }) => total + size, tail?.size ?? 0)
}

class S3Upload implements UploadWriter {
  readonly owner: string | undefined
  readonly #uploads: S3Uploads
  readonly #id: string
  /** What the upload was when this writer took hold of it. */
  readonly #first: UploadDocument
  #document: UploadDocument
  #etag: string
  #hash: Digester | undefined
  /** Bytes after the parts. Undefined until they are needed: then those of the tail are read. */
  #buffer: Uint8Array<ArrayBuffer> | undefined
  #filled: number
  #spare: Uint8Array<ArrayBuffer> | undefined
  /** Bytes of parts that are on their way. */
  #sending = 0
  #sent: Promise<void> = Promise.resolve()
  #saved: Promise<void> = Promise.resolve()
  #failure: unknown
  #isFailureTold = false
  #isDirty = false
  #isOver = false
  readonly #timer: ReturnType<typeof setInterval>

  constructor(uploads: S3Uploads, id: string, document: UploadDocument, etag: string, hash: Digester | undefined) {
    this.owner = document.owner
    this.#uploads = uploads
    this.#id = id
    this.#first = document
    this.#document = document
    this.#etag = etag
    this.#hash = hash
    this.#filled = document.tail?.size ?? 0
    this.#timer = setInterval(() => void this.#save(this.#document).catch(() => {}), heartbeat)
    this.#timer.unref()
  }

  get size(): number {
    return partsSize(this.#document) + this.#sending + this.#filled
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash?.update(bytes)
    for (let rest = bytes; rest.length > 0;) {
      this.#tellFailure()
      const buffer = await this.#open()
      const taken = rest.subarray(0, buffer.length - this.#filled)
      buffer.set(taken, this.#filled)
      this.#filled += taken.length
      this.#isDirty = true
      rest = rest.subarray(taken.length)
      if (this.#filled === buffer.length) await this.#sendPart(buffer)
    }
  }

  async rollback(): Promise<void> {
    await this.#sent.catch(() => {})
    const { parts, tail } = this.#first
    const { tail: _, ...now } = this.#document
    this.#document = { ...now, parts, ...(tail === undefined ? {} : { tail }) }
    await this.#save(this.#document)
    this.#filled = tail?.size ?? 0
    this.#sending = 0
    this.#buffer = undefined
    this.#isDirty = false
    this.#hash = this.size === 0 ? new Digester(this.#document.algorithm) : undefined
  }

  async commit(digest: Digest): Promise<boolean> {
    const { bucket, blobs } = this.#uploads
    const { data, repository } = this.#document
    const algorithm = digestAlgorithm(digest)
    const known = this.#hash?.algorithm === algorithm ? this.#hash.digest() : undefined
    this.#hash = undefined
    if (known !== undefined && known !== digest) {
      await this.cancel()
      return false
    }
    const { size } = this
    await this.#complete()
    if (known === undefined && (await this.#hashAgain(algorithm)) !== digest) {
      await this.#save(this.#document)
      await bucket.delete(keys.data(data))
      await this.cancel()
      return false
    }
    await blobs.publish(repository, digest, { data, size })
    await this.#end()
    return true
  }

  async cancel(): Promise<void> {
    await this.#sent.catch(() => {})
    await this.#end()
    await this.#uploads.drop(this.#id, this.#document)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) {
      this.#tellFailure()
      return
    }
    clearInterval(this.#timer)
    // Bytes after a part that did not arrive are of no use.
    const isWhole = await this.#sent.then(
      () => true,
      () => false,
    )
    const { tail: before } = this.#document
    const { writer: _, ...document } = this.#document
    if (this.#isDirty && isWhole) {
      const tail = this.#filled === 0 ? undefined : await this.#writeTail()
      const { tail: _old, ...rest } = document
      await this.#save({ ...rest, ...(tail === undefined ? {} : { tail }) })
      if (before !== undefined) await this.#uploads.bucket.delete(keys.tail(this.#id, before.mark))
    } else await this.#save(document)
    this.#isOver = true
    if (this.#hash !== undefined && isWhole) this.#uploads.keepHash(this.#id, this.#hash)
    this.#tellFailure()
  }

  /** Throws what went wrong behind the back of write(), unless that has told. */
  #tellFailure(): void {
    if (this.#failure === undefined || this.#isFailureTold) return
    this.#isFailureTold = true
    throw this.#failure
  }

  /** The buffer, with the bytes of the tail in it. */
  async #open(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#buffer !== undefined) return this.#buffer
    const { tail, nextNumber } = this.#document
    const size = nextNumber <= partSizes.smallCount ? partSizes.small : partSizes.large
    const buffer = this.#spare?.length === size ? this.#spare : new Uint8Array(size)
    this.#spare = undefined
    // The parts that are on their way had the tail in them.
    if (this.#filled > 0 && tail !== undefined) {
      const found = await this.#uploads.bucket.get(keys.tail(this.#id, tail.mark))
      if (found?.bytes.length !== tail.size) throw lost(this.#id)
      buffer.set(found.bytes)
    }
    this.#buffer = buffer
    return buffer
  }

  /** Sends the bytes of the buffer as a part, once the one before has arrived. */
  async #sendPart(buffer: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#sent
    const bytes = buffer.subarray(0, this.#filled)
    const number = this.#document.nextNumber
    if (number > 10_000) throw new CairnError('LIMIT_EXCEEDED', 'the upload has more parts than object storages take')
    this.#document = { ...this.#document, nextNumber: number + 1 }
    this.#sending = bytes.length
    this.#filled = 0
    this.#buffer = undefined
    this.#sent = this.#arrive(number, bytes).then(() => {
      this.#spare = buffer
    })
    this.#sent.catch((error: unknown) => {
      this.#failure = error
    })
  }

  async #arrive(number: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { bucket } = this.#uploads
    const key = keys.data(this.#document.data)
    const multipart = this.#document.multipart ?? (await bucket.beginMultipart(key))
    if (this.#document.multipart === undefined) this.#document = { ...this.#document, multipart }
    const part = await bucket.putPart(key, multipart, number, bytes)
    const { tail: _, ...document } = this.#document
    this.#document = { ...document, parts: [...document.parts, part] }
    this.#sending = 0
  }

  async #writeTail(): Promise<{ readonly mark: string; readonly size: number }> {
    const mark = freshMark()
    const buffer = await this.#open()
    // A copy: what is signed and sent must not change.
    const body = buffer.slice(0, this.#filled)
    await this.#uploads.bucket.put({ key: keys.tail(this.#id, mark), body })
    return { mark, size: this.#filled }
  }

  /** Makes the bytes one object. */
  async #complete(): Promise<void> {
    const { bucket } = this.#uploads
    const key = keys.data(this.#document.data)
    await this.#sent
    const { size } = this
    if (this.#document.multipart === undefined || this.#document.parts.length === 0) {
      const buffer = this.#filled === 0 ? new Uint8Array(0) : await this.#open()
      await bucket.put({ key, body: buffer.subarray(0, this.#filled) })
      return
    }
    if (this.#filled > 0) await this.#sendPart(await this.#open())
    await this.#sent
    const { multipart, parts } = this.#document
    if (multipart !== undefined && (await bucket.completeMultipart(key, multipart, parts))) return
    // Whoever completed it died before it could say so.
    if ((await bucket.head(key))?.size !== size) throw lost(this.#id)
  }

  async #hashAgain(algorithm: DigestAlgorithm): Promise<Digest | undefined> {
    const body = await this.#uploads.bucket.open(keys.data(this.#document.data))
    if (body === undefined) throw lost(this.#id)
    const hash = new Digester(algorithm)
    for await (const piece of body as unknown as AsyncIterable<Uint8Array>) hash.update(piece)
    return hash.digest()
  }

  /** Replaces the state. Throws STORE_BUSY where another writer has taken over. */
  #save(document: UploadDocument): Promise<void> {
    const save = async () => {
      if (this.#isOver) return
      const body = JSON.stringify(document)
      const written = await this.#uploads.guarded.replace(keys.upload(this.#id), this.#etag, body)
      if (written === undefined) {
        this.#failure = new CairnError('STORE_BUSY', `upload ${this.#id} was taken over by another request`)
        this.#isOver = true
        clearInterval(this.#timer)
        throw this.#failure
      }
      this.#etag = written.etag
    }
    this.#saved = this.#saved.catch(() => {}).then(save)
    return this.#saved
  }

  async #end(): Promise<void> {
    clearInterval(this.#timer)
    await this.#saved.catch(() => {})
    this.#isOver = true
    const { bucket } = this.#uploads
    await bucket.delete(keys.upload(this.#id))
    const { tail } = this.#first
    if (tail !== undefined) await bucket.delete(keys.tail(this.#id, tail.mark))
  }
}

function partsSize({ parts }: UploadDocument): number {
  return parts.reduce((total, { size }) => total + size, 0)
}

function lost(id: string): CairnError {
  return new CairnError('STORE_UNUSABLE', `the bucket has lost bytes of upload ${id}`, {
    hint: 'Does a lifecycle rule of the bucket remove multipart uploads or objects below tails/?',
  })
}
