import { checkLevel, compressionKey } from '../../compression/compress.ts'
import { Digester } from '../../oci/digest.ts'
import type { ByteSource } from '../../streams/source.ts'
import { TarDecoder, type TarHandler } from '../../tar/decoder.ts'
import type { TarMember } from '../../tar/member.ts'
import { type ChunkEntry, chunkedAnnotations } from './chunk-table.ts'
import { describeMember, joined, OpenFile } from './chunked-member.ts'
import { CompressedPieces, type PieceOptions } from './compressed-pieces.ts'
import { GearChunker } from './gear-chunks.ts'
import { TarSplit } from './tar-split.ts'

export interface ChunkedOptions extends PieceOptions {
  /** zstd 0 to 22 (default 2). */
  readonly level?: number | undefined
}

/** The annotations that a chunked layer's descriptor has; none where the layer could not be chunked. */
export type LayerAnnotations = Readonly<Record<string, string>>

/** To be changed with whatever changes the bytes that this file writes. */
const version = 'chunked-1'
const defaultLevel = 2

/** What the bytes of a chunked layer depend on besides the layer: where two texts are equal, so are the bytes. */
export function chunkedKey(level: number = defaultLevel): string {
  return `${version}-${compressionKey({ format: 'zstd', level })}`
}

const largestBetween = 1024 * 1024
const frameHeader = 8
const skippableMagic = 0x184d2a50
const footerMagic = 'GNUlInUx'
const crfsTable = 1

/**
 * A layer's tar as zstd:chunked (containers/storage, pkg/chunked): each chunk of a file and what stands between files is a
 * zstd frame of its own; skippable frames at the end hold a table of contents, what the tar is made of but for the files
 * (tar-split), and where those are. For any other reader it is a zstd file. The bytes depend on the tar, the level and
 * Bun's version alone. Gives the annotations for its descriptor as the generator's result. A tar with sparse files, or
 * names that JSON cannot hold, is written without tables, as plain zstd. Throws USAGE for a level out of range, and TAR_INVALID.
 */
export async function* chunkedLayer(
  source: ByteSource,
  options: ChunkedOptions,
): AsyncGenerator<Uint8Array, LayerAnnotations> {
  checkLevel({ format: 'zstd', level: options.level })
  const writer = new ChunkedWriter(options)
  for await (const bytes of source) {
    writer.push(bytes)
    yield* writer.pieces.ready(false)
  }
  writer.finish()
  yield* writer.pieces.ready(true)
  if (!writer.isChunked) return {}
  const { frames, annotations } = writer.tables()
  yield* frames
  return annotations
}

/** Where an entry of the table comes from: known at once, or once its chunks have their places. */
type Described = ChunkEntry | OpenFile

class ChunkedWriter implements TarHandler {
  readonly pieces: CompressedPieces
  readonly #level: number
  readonly #decoder: TarDecoder
  readonly #described: Described[] = []
  readonly #split = new TarSplit()
  readonly #chunker = new GearChunker()
  isChunked = true

  /** What is being pushed, where it begins in the tar, and how much of it was dealt with. */
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0
  #taken = 0
  /** Bytes that are no content, since the last content and since the last member. */
  #between: Uint8Array[] = []
  #betweenSize = 0
  #header: Uint8Array[] = []
  #file: OpenFile | undefined

  constructor({ level = defaultLevel, ...options }: ChunkedOptions) {
    this.#level = level
    this.pieces = new CompressedPieces({ format: 'zstd', level }, options)
    this.#decoder = new TarDecoder(this)
  }

  push(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#taken = 0
    this.#decoder.push(bytes)
    this.#takeBetween(bytes.length)
    if (this.#decoder.isAtEnd) this.#endHeader()
    this.#start += bytes.length
  }

  finish(): void {
    this.#decoder.finish()
    this.#endHeader()
    this.#endBetween()
  }

  entry(member: TarMember): boolean {
    this.#takeBetween(this.#decoder.position - this.#start)
    if (!this.isChunked) return false
    const { entry, extents } = member
    const described = describeMember(member, joined(this.#header))
    const isSparse = extents.length > 1 || (extents[0]?.length ?? 0) !== entry.size
    if (isSparse || described === undefined) {
      this.isChunked = false
      return false
    }
    this.#endHeader()
    if (entry.size > 0) this.#file = new OpenFile(described)
    else this.#split.file(described.name, 0, undefined)
    this.#described.push(this.#file ?? described)
    return entry.size > 0
  }

  content(bytes: Uint8Array): void {
    const file = this.#file as OpenFile
    this.#takeBetween(bytes.byteOffset - this.#bytes.byteOffset)
    this.#endBetween()
    this.#taken += bytes.length
    for (let at = 0; at < bytes.length;) {
      const { count, isCut } = this.#chunker.take(bytes, at, bytes.length)
      file.gather(bytes.subarray(at, at + count))
      at += count
      if (isCut) this.#endChunk(file)
    }
  }

  end(): void {
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    this.#endChunk(file)
    this.#chunker.reset()
    this.#split.file(file.name, file.size, file.sum())
  }

  /** The skippable frames at the end, and what is said of them; after all else was given. */
  tables(): { readonly frames: readonly Uint8Array[]; readonly annotations: LayerAnnotations } {
    const level = this.#level
    const split = this.#split.bytes()
    const packedSplit = Bun.zstdCompressSync(split, { level })
    const entries = this.#described.flatMap((one) => (one instanceof OpenFile ? one.entries() : one))
    const tarSplitDigest = new Digester().update(packedSplit).digest()
    const table = new TextEncoder().encode(JSON.stringify({ version: 1, entries, tarSplitDigest }))
    const packedTable = Bun.zstdCompressSync(table, { level })
    const tableAt = this.pieces.written + frameHeader
    const splitAt = tableAt + packedTable.length + frameHeader
    const numbers = [tableAt, packedTable.length, table.length, crfsTable, splitAt, packedSplit.length, split.length]
    const footer = new Uint8Array(64)
    const view = new DataView(footer.buffer)
    for (const [index, number] of numbers.entries()) view.setBigUint64(8 * index, BigInt(number), true)
    footer.set(new TextEncoder().encode(footerMagic), 56)
    return {
      frames: [packedTable, packedSplit, footer].flatMap((bytes) => [skippableHeader(bytes.length), bytes]),
      annotations: {
        [chunkedAnnotations.tableDigest]: new Digester().update(packedTable).digest(),
        [chunkedAnnotations.tablePosition]: numbers.slice(0, 4).join(':'),
        [chunkedAnnotations.splitPosition]: numbers.slice(4).join(':'),
      },
    }
  }

  #takeBetween(end: number): void {
    if (end <= this.#taken) return
    const bytes = new Uint8Array(this.#bytes.subarray(this.#taken, end))
    this.#taken = end
    this.#between.push(bytes)
    this.#betweenSize += bytes.length
    if (this.isChunked) this.#header.push(new Uint8Array(bytes))
    if (this.#betweenSize >= largestBetween) this.#endBetween()
  }

  #endHeader(): void {
    this.#split.segment(joined(this.#header))
    this.#header = []
  }

  #endBetween(): void {
    if (this.#betweenSize === 0) return
    this.pieces.add(joined(this.#between))
    this.#between = []
    this.#betweenSize = 0
  }

  #endChunk(file: OpenFile): void {
    const chunk = file.takeChunk()
    if (chunk !== undefined) this.pieces.add(chunk.bytes, chunk.place)
  }
}

/** RFC 8878 §3.1.2. */
function skippableHeader(size: number): Uint8Array {
  const header = new Uint8Array(frameHeader)
  const view = new DataView(header.buffer)
  view.setUint32(0, skippableMagic, true)
  view.setUint32(4, size, true)
  return header
}
