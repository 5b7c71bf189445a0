import { CairnError } from '../../../errors/error.ts'
import type { Digest } from '../../../oci/digest.ts'
import { isJsonObject } from '../../../oci/descriptor.ts'
import type { BlobContent, BlobRange, StoredBlob } from '../registry-storage.ts'
import type { Bucket, FoundObject } from '../../../object-storage/bucket.ts'
import { freshMark, type GuardedObjects, isTombstone } from './guarded-objects.ts'
import { keys } from './layout.ts'

/** How old a link may be before asking for its blob renews it, and a manifest before naming it does, in milliseconds. */
export const useResolution = 600_000
/** How long a signed URL is good for, in seconds: clients that are told of one go there at once. */
const redirectLifetime = 1200
/** Bytes that clients get from this server: another connection would take longer. */
const directSize = 64 * 1024
/** Bytes that are sent with their Content-Length: Bun's server sends streams in chunks without one. */
const smallBody = 1024 * 1024
/** Tries to make a blob visible beside whoever removes it. */
const publishAttempts = 20

/** Which object has the bytes of a blob. */
export interface BlobRecord {
  /** ID of the data. */
  readonly data: string
  /** Bytes. */
  readonly size: number
}

/**
 * Blobs: an object with the bytes, a record that names it, and a link for each repository that has the blob. A blob is
 * there where both its link and its record are.
 *
 * Who adds a link looks at the record afterwards; who removes a record looks for links afterwards, and puts it back
 * where there are some. One of them sees the other.
 */
export class S3Blobs {
  readonly #bucket: Bucket
  readonly #guarded: GuardedObjects
  readonly #isRedirecting: boolean

  constructor(bucket: Bucket, guarded: GuardedObjects, isRedirecting: boolean) {
    this.#bucket = bucket
    this.#guarded = guarded
    this.#isRedirecting = isRedirecting
  }

  /** Finds a blob of a repository, and renews its link where it is old. */
  async find(repository: string, digest: Digest): Promise<BlobRecord | undefined> {
    const key = keys.link(digest, repository)
    const [link, record] = await Promise.all([this.#guarded.head(key), this.record(digest)])
    if (link === undefined || record === undefined) return undefined
    if (link.age < useResolution) return record
    if ((await this.#guarded.replace(key, link.etag, freshMark())) !== undefined) return record
    // Somebody else renewed it, or removed it.
    return (await this.#guarded.head(key)) === undefined ? undefined : record
  }

  stored(record: BlobRecord): StoredBlob {
    return { size: record.size, read: (range) => this.#read(record, range) }
  }

  /** Where the bytes of a blob are, whichever repositories have it. */
  async record(digest: Digest): Promise<BlobRecord | undefined> {
    return (await this.#readRecord(digest))?.record
  }

  /**
   * Makes data a blob of a repository. The data is kept by the record, unless there was one of the same digest: then it
   * is deleted.
   */
  async publish(repository: string, digest: Digest, own: BlobRecord): Promise<void> {
    for (let attempt = 0; attempt < publishAttempts; attempt++) {
      await this.#guarded.create(keys.record(digest), JSON.stringify(own))
      await this.#addLink(repository, digest, own.size)
      const record = await this.record(digest)
      if (record === undefined) continue
      if (record.data !== own.data) await this.#bucket.delete(keys.data(own.data))
      return
    }
    throw new CairnError('STORE_BUSY', `the blob ${digest} is being removed again and again`)
  }

  async mount(repository: string, digest: Digest, from: string): Promise<boolean> {
    const found = await this.find(from, digest)
    if (found === undefined) return false
    await this.#addLink(repository, digest, found.size)
    if ((await this.record(digest)) !== undefined) return true
    await this.unlink(repository, digest)
    return false
  }

  /** Takes a blob from a repository and gives its size; undefined where that had none such. */
  async delete(repository: string, digest: Digest): Promise<number | undefined> {
    const record = await this.record(digest)
    if (!(await this.unlink(repository, digest)) || record === undefined) return undefined
    await this.free(digest)
    return record.size
  }

  /** Removes a link; with `etag` only if that is still what it was. */
  async unlink(repository: string, digest: Digest, etag?: string): Promise<boolean> {
    const key = keys.link(digest, repository)
    const seen = etag ?? (await this.#guarded.head(key))?.etag
    if (seen === undefined || !(await this.#guarded.remove(key, seen))) return false
    for await (const { key: entry } of this.#bucket.list(keys.blob(repository, digest, 0).slice(0, -1)))
      await this.#bucket.delete(entry)
    return true
  }

  /** Removes a blob that no repository has any more; gives the bytes that are free now. */
  async free(digest: Digest): Promise<number> {
    const found = await this.#readRecord(digest)
    if (found === undefined || (await this.#isLinked(digest))) return 0
    const isUnneeded = async () => !(await this.#isLinked(digest))
    if (!(await this.#guarded.remove(keys.record(digest), found.object.etag, isUnneeded))) return 0
    await this.#bucket.delete(keys.data(found.record.data))
    return found.record.size
  }

  /** Where the bytes of an object of `data/` are read by a client. */
  async #read({ data, size }: BlobRecord, range: BlobRange | undefined): Promise<BlobContent> {
    const key = keys.data(data)
    if (this.#isRedirecting && size > directSize)
      return { kind: 'elsewhere', url: await this.#bucket.presign(key, redirectLifetime) }
    const body = await this.#bucket.open(key, range)
    if (body === undefined) throw new CairnError('BLOB_UNKNOWN', `the bucket has no object ${key} any more`)
    const length = range === undefined ? size : range.end - range.start
    return { kind: 'body', body: length > smallBody ? body : await new Response(body).blob() }
  }

  async #readRecord(
    digest: Digest,
  ): Promise<{ readonly record: BlobRecord; readonly object: FoundObject } | undefined> {
    const found = await this.#guarded.get(keys.record(digest))
    if (found === undefined) return undefined
    return { record: parseRecord(new TextDecoder().decode(found.bytes), digest), object: found.object }
  }

  async #addLink(repository: string, digest: Digest, size: number): Promise<void> {
    await Promise.all([
      this.#guarded.renew(keys.link(digest, repository), useResolution, freshMark),
      this.#bucket.put({ key: keys.blob(repository, digest, size), body: '' }),
    ])
    await addRepository(this.#guarded, repository)
  }

  async #isLinked(digest: Digest): Promise<boolean> {
    for await (const link of this.#bucket.list(keys.links(digest), { pageSize: 100 })) {
      if (!isTombstone(link)) return true
    }
    return false
  }
}

/** Records that a repository exists, once something of it is there. */
export async function addRepository(guarded: GuardedObjects, repository: string): Promise<void> {
  const key = keys.catalog(repository)
  if ((await guarded.head(key)) === undefined) await guarded.create(key, freshMark())
}

/** Reads what a record says. Throws STORE_UNUSABLE for what no registry has written. */
export function parseRecord(text: string, digest: string): BlobRecord {
  const value: unknown = JSON.parse(text)
  const { data, size } = isJsonObject(value) ? value : {}
  if (typeof data === 'string' && typeof size === 'number') return { data, size }
  throw new CairnError('STORE_UNUSABLE', `the record of blob ${digest} in the bucket is damaged`)
}
