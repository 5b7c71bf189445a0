import { checkLevel, compressBlock, compressionKey } from '../../compression/compress.ts'
import { type Digest, Digester, digestOf } from '../../oci/digest.ts'
import type { ByteSource } from '../../streams/source.ts'
import { TarDecoder, type TarHandler } from '../../tar/decoder.ts'
import { blankEntry } from '../../tar/entry.ts'
import { formatHeaders } from '../../tar/header-writer.ts'
import type { TarMember } from '../../tar/member.ts'
import { type ChunkEntry, chunkedAnnotations } from './chunk-table.ts'
import type { LayerAnnotations } from './chunked-layer.ts'
import { describeMember, joined } from './chunked-member.ts'
import { CompressedPieces, type PieceOptions } from './compressed-pieces.ts'

export interface EstargzOptions extends PieceOptions {
  /** Of gzip. */
  readonly level?: number | undefined
}

/** What became of a layer. */
export interface EstargzLayer {
  /** For its descriptor; none where the layer could not be given a table. */
  readonly annotations: LayerAnnotations
  /** Of what the blob unpacks to: the layer's tar, and after its end landmark and table. */
  readonly diffId: Digest
  /** Bytes of that. */
  readonly unpackedSize: number
}

/** To be changed with whatever changes the bytes that this file writes. */
const version = 'estargz-1'
/** Most bytes of a file in one member, as everybody has it. */
const chunkSize = 4 * 1024 * 1024
/** Most bytes of one member. */
const largestMember = 5 * 1024 * 1024
const tableName = 'stargz.index.json'
const landmark = { name: '.no.prefetch.landmark', content: new Uint8Array([0xf]) } as const
const blockSize = 512

/** What the bytes of an eStargz layer depend on besides the layer: where two texts are equal, so are the bytes. */
export function estargzKey(level: number | undefined): string {
  return `${version}-${compressionKey({ format: 'gzip', level })}`
}

/**
 * A layer's tar as eStargz (containerd/stargz-snapshotter, docs/estargz.md): each chunk of a file begins a gzip member,
 * and a last member has a table of contents. As BuildKit does, all is kept of the tar, so that what else stands in the
 * blob comes after its end: readers that know no eStargz see the very files of the layer. The spec's landmark stands there,
 * too. What the blob unpacks to is longer than the tar and has another diff ID. The bytes depend on the tar, the level and
 * Bun's version alone. A tar with sparse files, names that JSON cannot hold, or a file called as the table is written as
 * plain gzip. Throws USAGE for a level out of range, and TAR_INVALID.
 */
export async function* estargzLayer(
  source: ByteSource,
  options: EstargzOptions,
): AsyncGenerator<Uint8Array, EstargzLayer> {
  checkLevel({ format: 'gzip', level: options.level })
  const writer = new EstargzWriter(options)
  for await (const bytes of source) {
    writer.push(bytes)
    yield* writer.pieces.ready(false)
  }
  writer.finish()
  yield* writer.pieces.ready(true)
  if (!writer.hasTable) return writer.result({})
  const { members, annotations } = writer.table()
  yield* members
  return writer.result(annotations)
}

/** A chunk of a file. */
interface Chunk {
  readonly digester: Digester
  readonly start: number
  size: number
  /** Where it came to stand in the blob. */
  offset: number
}

/** A member of the tar: a file with its chunks, once they have their places. */
interface Described {
  readonly entry: ChunkEntry
  readonly digester: Digester | undefined
  readonly chunks: Chunk[]
}

class EstargzWriter implements TarHandler {
  readonly pieces: CompressedPieces
  hasTable = true
  readonly #level: number | undefined
  readonly #decoder: TarDecoder
  readonly #described: Described[] = []
  readonly #whole = new Digester()
  /** What is being pushed, where it begins in the tar, and how much of it was dealt with. */
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0
  #taken = 0
  /** What the current gzip member has so far, and the chunk that it begins with. */
  #member: Uint8Array[] = []
  #memberSize = 0
  #chunk: Chunk | undefined
  /** What stands before the content of the next tar member. */
  #header: Uint8Array[] = []
  #file: Described | undefined

  constructor({ level, ...options }: EstargzOptions) {
    this.#level = level
    this.pieces = new CompressedPieces({ format: 'gzip', level }, options)
    this.#decoder = new TarDecoder(this)
  }

  push(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#taken = 0
    this.#decoder.push(bytes)
    this.#takeBetween(bytes.length)
    this.#start += bytes.length
    this.#whole.update(bytes)
  }

  finish(): void {
    this.#decoder.finish()
    if (this.hasTable) this.#writeLandmark()
    this.#endMember()
  }

  entry(member: TarMember): boolean {
    this.#takeBetween(this.#decoder.position - this.#start)
    if (!this.hasTable) return false
    const { entry, extents } = member
    const entryOfTable = describeMember(member, joined(this.#header))
    this.#header = []
    const isSparse = extents.length > 1 || (extents[0]?.length ?? 0) !== entry.size
    if (isSparse || entryOfTable === undefined || isTableName(entry.path)) {
      this.hasTable = false
      return false
    }
    const isFile = entry.type === 'file'
    this.#file = { entry: entryOfTable, digester: isFile ? new Digester() : undefined, chunks: [] }
    this.#described.push(this.#file)
    return entry.size > 0
  }

  content(bytes: Uint8Array, offset: number): void {
    const { chunks, digester } = this.#file as Described
    this.#takeBetween(bytes.byteOffset - this.#bytes.byteOffset)
    this.#taken += bytes.length
    digester?.update(bytes)
    for (let at = 0; at < bytes.length;) {
      const last = chunks.at(-1)
      const chunk = last === undefined || last.size === chunkSize ? this.#beginChunk(chunks, offset + at) : last
      const part = bytes.subarray(at, at + Math.min(bytes.length - at, chunkSize - chunk.size))
      chunk.digester.update(part)
      chunk.size += part.length
      this.#append(part)
      at += part.length
    }
  }

  end(): void {}

  result(annotations: LayerAnnotations): EstargzLayer {
    return { annotations, diffId: this.#whole.digest(), unpackedSize: this.#whole.size }
  }

  /** The last members, after all else was given. */
  table(): { readonly members: readonly Uint8Array[]; readonly annotations: LayerAnnotations } {
    const entries = this.#described.flatMap(entriesOf)
    const json = new TextEncoder().encode(JSON.stringify({ version: 1, entries }))
    const tar = joined([tarMember(tableName, json), new Uint8Array(2 * blockSize)])
    this.#whole.update(tar)
    const packed = compressBlock(tar, { format: 'gzip', level: this.#level })
    return {
      members: [packed, footerOf(this.pieces.written)],
      annotations: {
        [chunkedAnnotations.stargzTableDigest]: digestOf(json),
        [chunkedAnnotations.stargzSize]: String(this.#whole.size),
      },
    }
  }

  #writeLandmark(): void {
    const { name, content } = landmark
    const bytes = tarMember(name, content)
    this.#whole.update(bytes)
    this.#append(bytes.subarray(0, blockSize))
    const chunks: Chunk[] = []
    const chunk = this.#beginChunk(chunks, 0)
    chunk.digester.update(content)
    chunk.size = content.length
    this.#append(bytes.subarray(blockSize))
    const digester = new Digester().update(content)
    const entry = { type: 'reg', name, size: content.length, modtime: '1970-01-01T00:00:00Z' }
    this.#described.push({ entry, digester, chunks })
  }

  #beginChunk(chunks: Chunk[], start: number): Chunk {
    this.#endMember()
    const chunk = { digester: new Digester(), start, size: 0, offset: 0 }
    chunks.push(chunk)
    this.#chunk = chunk
    return chunk
  }

  #takeBetween(end: number): void {
    if (end <= this.#taken) return
    const bytes = this.#bytes.subarray(this.#taken, end)
    this.#taken = end
    if (this.hasTable) this.#header.push(new Uint8Array(bytes))
    this.#append(bytes)
  }

  /** Adds a copy to the current member. */
  #append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + largestMember - this.#memberSize)
      this.#member.push(new Uint8Array(part))
      this.#memberSize += part.length
      at += part.length
      if (this.#memberSize === largestMember) this.#endMember()
    }
  }

  #endMember(): void {
    if (this.#memberSize === 0) return
    const chunk = this.#chunk
    this.pieces.add(joined(this.#member), chunk && ((start) => void (chunk.offset = start)))
    this.#member = []
    this.#memberSize = 0
    this.#chunk = undefined
  }
}

/** As Go's cleanEntryName() makes it, which eStargz goes by. */
function isTableName(path: string): boolean {
  return path.replace(/^(?:\.?\/)+/, '') === tableName
}

/** A file's entries in the table: itself with its first chunk, and one for each further chunk. */
function entriesOf({ entry, digester, chunks }: Described): readonly ChunkEntry[] {
  const { accesstime: _accessed, changetime: _changed, ...own } = entry
  const named = digester === undefined ? own : { ...own, digest: digester.digest() }
  const [first, ...rest] = chunks.map(({ digester: sum, start, size, offset }, index) => ({
    offset,
    ...(start === 0 ? {} : { chunkOffset: start }),
    // None for the last one: it goes to the file's end.
    ...(index === chunks.length - 1 ? {} : { chunkSize: size }),
    chunkDigest: sum.digest(),
  }))
  return [{ ...named, ...first }, ...rest.map((chunk) => ({ type: 'chunk', name: entry.name, ...chunk }))]
}

/** A file of root's, of 1970. */
function tarMember(path: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = formatHeaders({ ...blankEntry, type: 'file', path, mode: 0o444, size: content.length })
  return joined([header, content, new Uint8Array((blockSize - (content.length % blockSize)) % blockSize)])
}

/** An empty gzip member whose extra field says where the table is. */
function footerOf(position: number): Uint8Array {
  const field = Buffer.from(`${position.toString(16).padStart(16, '0')}STARGZ`)
  const header = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, field.length + 4, 0, 0x53, 0x47, field.length, 0]
  return new Uint8Array([...header, ...field, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0])
}
