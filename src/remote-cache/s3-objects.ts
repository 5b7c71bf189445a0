import { Bucket, type HashedData } from '../object-storage/bucket.ts'
import { s3Credentials } from '../object-storage/credentials.ts'
import type { S3Credentials } from '../object-storage/signature.ts'
import { tryStat } from '../linux/file-status.ts'
import type { BlobIdentity } from '../content/blobs.ts'
import type { Digest } from '../oci/digest.ts'
import { TaskSlots } from '../registry/client/task-slots.ts'
import type { CacheObjects } from './object-place.ts'
import type { S3Keys, S3Place } from './s3-options.ts'

/** Bytes up to which a blob is sent with one request, and of the parts of a longer one. */
const partSize = 16 * 1024 * 1024
/** A server takes 10,000. */
const mostParts = 9000
/** Parts that are sent at once, of all blobs together. */
const concurrentParts = 4

/** The objects of a cache in a bucket, named as BuildKit names them. Throws CONFIG_INVALID where there are no keys. */
export function s3Objects(place: S3Place): CacheObjects {
  return new S3Objects(place)
}

class S3Objects implements CacheObjects {
  readonly parallelism: number
  readonly #bucket: Bucket
  readonly #place: S3Place
  readonly #slots = new TaskSlots(concurrentParts)

  constructor(place: S3Place) {
    const { bucket, endpoint, region, isPathStyle, attempts, keys } = place
    this.#place = place
    this.parallelism = place.parallelism
    this.#bucket = new Bucket({
      bucket,
      endpoint,
      publicEndpoint: undefined,
      region,
      isPathStyle,
      prefix: '',
      credentials: credentialsOf(keys),
      attempts,
    })
  }

  async documents(): Promise<readonly Uint8Array<ArrayBuffer>[]> {
    const { manifestsPrefix, names } = this.#place
    const found = await this.#bucket.get(manifestsPrefix + (names[0] ?? ''))
    return found === undefined ? [] : [found.bytes]
  }

  async replaceDocument(body: Uint8Array<ArrayBuffer>): Promise<void> {
    for (const name of this.#place.names) await this.#bucket.put({ key: this.#place.manifestsPrefix + name, body })
  }

  async has({ digest, size }: BlobIdentity): Promise<boolean> {
    const key = this.#keyOf(digest)
    const found = await this.#bucket.head(key)
    if (found?.size !== size) return false
    if (found.age > this.#place.touchAfter) await this.#bucket.touch(key, size)
    return true
  }

  async open(digest: Digest, start: number): Promise<ReadableStream<Uint8Array> | undefined> {
    return await this.#bucket.open(this.#keyOf(digest), start === 0 ? undefined : { start })
  }

  async put({ digest, size }: BlobIdentity, data: Blob): Promise<void> {
    const key = this.#keyOf(digest)
    if (size <= partSize) {
      await this.#slots.run(async () => await this.#bucket.put({ key, body: await hashed(data) }))
      return
    }
    const length = Math.max(partSize, Math.ceil(size / mostParts))
    const upload = await this.#bucket.beginMultipart(key)
    try {
      const parts = await Promise.all(
        Array.from({ length: Math.ceil(size / length) }, (_, index) =>
          this.#slots.run(async () => {
            const part = data.slice(index * length, Math.min(size, (index + 1) * length))
            return await this.#bucket.putPart(key, upload, index + 1, await hashed(part))
          }),
        ),
      )
      await this.#bucket.completeMultipart(key, upload, parts)
    } catch (error) {
      await this.#bucket.abortMultipart(key, upload).catch(() => undefined)
      throw error
    }
  }

  #keyOf(digest: Digest): string {
    return this.#place.blobsPrefix + digest
  }
}

/** What a request is signed with: the bytes stay where they are, mostly in a file. */
async function hashed(data: Blob): Promise<HashedData> {
  const hasher = new Bun.CryptoHasher('sha256')
  for await (const bytes of data.stream()) hasher.update(bytes)
  return { data, sha256: hasher.digest('hex') }
}

function credentialsOf(keys: S3Keys): () => S3Credentials {
  if ('accessKey' in keys) return () => keys
  const { file, profile, env } = keys
  return s3Credentials(file !== undefined && tryStat(file) !== undefined ? file : undefined, profile, env)
}
