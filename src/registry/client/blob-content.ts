import {
  type BlockCompressor,
  compress,
  compressionBlockSize,
  type CompressionSettings,
} from '../../compression/compress.ts'
import type { BlobIdentity } from '../../content/blobs.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { type Digest, Digester, digestAlgorithm } from '../../oci/digest.ts'
import type { ByteSource } from '../../streams/source.ts'

/** The bytes of a blob on its way to a registry, from wherever an upload has to go on. */
export interface BlobContent {
  /** Known before the bytes for a blob that is there as it is, else once all of them were made. */
  readonly identity: BlobIdentity | undefined
  /** The file, for a blob that is there as it is. */
  readonly file: string | undefined
  /** The bytes from `start` to the end. */
  from(start: number): ByteSource
}

/** A blob that is there as it is, in a file. */
export function fileContent(file: string, { digest, size }: BlobIdentity): BlobContent {
  return { identity: { digest, size }, file, from: (start) => Bun.file(file).slice(start).stream() }
}

/** A blob of the store, in a file or composed of others. */
export function storedContent({ blobs }: Store, { digest, size }: BlobIdentity): BlobContent {
  const file = blobs.file(digest)
  if (file !== undefined) return fileContent(file, { digest, size })
  return { identity: { digest, size }, file, from: (start) => copies(blobs.open(digest, { start })) }
}

/** A request may take the next piece before it has sent the last. */
async function* copies(source: ByteSource): ByteSource {
  for await (const bytes of source) yield new Uint8Array(bytes)
}

export interface LayerCompression extends CompressionSettings {
  /** Of zstd: as zstd:chunked, with a table of contents that lets others fetch only what they lack. */
  readonly isChunked?: boolean | undefined
  readonly compressor?: BlockCompressor | undefined
  /** Blocks in work at once. */
  readonly concurrency?: number | undefined
}

/**
 * A layer that is compressed while it is sent, and verified while it is compressed. What was made once is made again only
 * from the block on that it is needed from.
 */
export class CompressedContent implements BlobContent {
  readonly file = undefined
  readonly #store: Store
  readonly #diffId: Digest
  readonly #compression: LayerCompression
  /** Compressed sizes of the blocks so far. */
  readonly #sizes: number[] = []
  readonly #compressed = new Digester()
  /** Over the uncompressed bytes. */
  readonly #original: Digester
  #isVerified = false
  #identity: BlobIdentity | undefined

  /** The layer's uncompressed blob is in the store. */
  constructor(store: Store, diffId: Digest, compression: LayerCompression) {
    this.#store = store
    this.#diffId = diffId
    this.#compression = compression
    this.#original = new Digester(digestAlgorithm(diffId))
  }

  get identity(): BlobIdentity | undefined {
    return this.#identity
  }

  /** Bytes of the layer that were compressed so far. */
  get taken(): number {
    return this.#original.size
  }

  async *from(start: number): ByteSource {
    let [block, position] = this.#blockAt(start)
    for await (const bytes of compress(this.#read(block * compressionBlockSize), this.#compression)) {
      if (block === this.#sizes.length) {
        this.#sizes.push(bytes.length)
        this.#compressed.update(bytes)
      }
      const skipped = Math.max(0, start - position)
      position += bytes.length
      block++
      if (skipped < bytes.length) yield skipped === 0 ? bytes : bytes.subarray(skipped)
    }
    this.#identity ??= { size: this.#compressed.size, digest: this.#compressed.digest() }
  }

  /** The block that the compressed byte `start` is in, and where its first byte is. */
  #blockAt(start: number): [block: number, position: number] {
    let position = 0
    for (const [block, size] of this.#sizes.entries()) {
      if (position + size > start) return [block, position]
      position += size
    }
    // All of it may be there; the last block is made again so that there is an end to come to.
    const last = this.#sizes.at(-1)
    return this.#identity === undefined || last === undefined
      ? [this.#sizes.length, position]
      : [this.#sizes.length - 1, position - last]
  }

  async *#read(start: number): ByteSource {
    let position = start
    for await (const bytes of this.#store.blobs.open(this.#diffId, { start })) {
      const fresh = position + bytes.length - this.#original.size
      if (fresh > 0) this.#original.update(bytes.subarray(bytes.length - fresh))
      position += bytes.length
      yield bytes
    }
    if (this.#isVerified) return
    const found = this.#original.digest()
    if (found !== this.#diffId)
      throw new CairnError('BLOB_CORRUPT', `blob ${this.#diffId} is damaged on disk: it reads as ${found}`)
    this.#isVerified = true
  }
}
