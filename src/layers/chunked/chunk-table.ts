import { decompress } from '../../compression/decompress.ts'
import { decodeZstd } from '../../compression/decode-zstd.ts'
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { collect } from '../../streams/source.ts'
import { TarDecoder } from '../../tar/decoder.ts'

/** What the descriptor of a layer with a table of contents is annotated with. */
export const chunkedAnnotations = {
  tableDigest: 'io.github.containers.zstd-chunked.manifest-checksum',
  tablePosition: 'io.github.containers.zstd-chunked.manifest-position',
  splitPosition: 'io.github.containers.zstd-chunked.tarsplit-position',
  stargzTableDigest: 'containerd.io/snapshot/stargz/toc.digest',
  stargzSize: 'io.containers.estargz.uncompressed-size',
} as const

/** One entry of a table of contents, of zstd:chunked or eStargz: a member of the tar, or a further chunk of one. */
export interface ChunkEntry {
  readonly type: string
  readonly name: string
  readonly linkName?: string
  readonly mode?: number
  readonly size?: number
  readonly uid?: number
  readonly gid?: number
  readonly modtime?: string
  readonly accesstime?: string
  readonly changetime?: string
  readonly devMajor?: number
  readonly devMinor?: number
  readonly xattrs?: Readonly<Record<string, string>>
  /** Of a file's content. */
  readonly digest?: string
  /** Where its first chunk begins in the blob. */
  readonly offset?: number
  /** Where its last chunk ends; eStargz does not say. */
  readonly endOffset?: number
  readonly chunkOffset?: number
  readonly chunkSize?: number
  readonly chunkDigest?: string
}

/** Where in a blob its table is, in bytes, and what it must hash to. */
export interface TablePlace {
  readonly format: 'zstd:chunked' | 'estargz'
  readonly start: number
  readonly end: number
  /** Of the bytes as they are in the blob (zstd:chunked) or of the JSON (eStargz); unknown for a blob of the store. */
  readonly digest?: Digest
}

/** Bytes `start` to `end` of a compressed layer; two with one key are most probably the same bytes. */
export interface LayerPiece {
  readonly start: number
  readonly end: number
  readonly key: string
}

/** A file whose whole content is bytes `start` to `end` of the blob, as a table says. */
export interface LayerFile {
  readonly name: string
  /** Bytes of its content, and what they hash to. */
  readonly size: number
  readonly digest: string
  readonly start: number
  readonly end: number
}

/** What a table says of its layer. */
export interface LayerTable {
  /** From the first byte up to the table. */
  readonly pieces: readonly LayerPiece[]
  /** In the order of the blob; none of eStargz, which does not say where content ends. */
  readonly files: readonly LayerFile[]
}

/** Bytes at the end of a blob that say where its table is. */
export const largestFooter = 72
const stargzFooter = 51
const zstdFooter = 72
const frameMagic = 0x184d2a50
const chunkedMagic = 'GNUlInUx'
const largestTable = 32 * 1024 * 1024
const largestTableText = 64 * 1024 * 1024
const mostEntries = 2_000_000

/** Where the annotations of a layer say that its table is: eStargz's leave that to the footer. */
export function annotatedTable(annotations: Readonly<Record<string, string>>, size: number): TablePlace | undefined {
  const digest = annotations[chunkedAnnotations.tableDigest]
  const position = /^(\d{1,15}):(\d{1,15}):\d{1,15}:1$/.exec(annotations[chunkedAnnotations.tablePosition] ?? '')
  if (position === null || digest === undefined || !isDigest(digest)) return undefined
  const start = Number(position[1])
  return checkedPlace({ format: 'zstd:chunked', start, end: start + Number(position[2]), digest }, size)
}

/** Where the last bytes of a blob of `size` bytes say that its table is; undefined where it has none. */
export function footerTable(footer: Uint8Array, size: number): TablePlace | undefined {
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength)
  const text = Buffer.from(footer.buffer, footer.byteOffset, footer.byteLength).toString('latin1')
  if (footer.length >= zstdFooter && text.endsWith(chunkedMagic)) {
    const at = footer.length - zstdFooter
    if (view.getUint32(at, true) !== frameMagic || view.getUint32(at + 4, true) !== 64) return undefined
    const start = Number(view.getBigUint64(at + 8, true))
    return checkedPlace({ format: 'zstd:chunked', start, end: start + Number(view.getBigUint64(at + 16, true)) }, size)
  }
  const stargz = /^\x1f\x8b\x08\x04[^]{6}\x1a\x00SG\x16\x00([0-9a-f]{16})STARGZ/.exec(text.slice(-stargzFooter))
  if (stargz === null) return undefined
  return checkedPlace({ format: 'estargz', start: parseInt(stargz[1] as string, 16), end: size - stargzFooter }, size)
}

function checkedPlace(place: TablePlace, size: number): TablePlace | undefined {
  const length = place.end - place.start
  const isInside = Number.isSafeInteger(place.start) && place.start > 0 && place.end <= size
  return isInside && length > 0 && length <= largestTable ? place : undefined
}

/**
 * What the table of a compressed layer says that it consists of. Undefined where that is not what it should be, in any
 * way. A table is a hint about which bytes may be had elsewhere and never more: whoever uses it verifies the whole.
 */
export async function readTable(bytes: Uint8Array<ArrayBuffer>, place: TablePlace): Promise<LayerTable | undefined> {
  try {
    const { format, digest } = place
    if (format === 'zstd:chunked' && digest !== undefined && digestOf(bytes) !== digest) return undefined
    const text =
      format === 'estargz' ? tableOfTar(await unpackedTable(bytes)) : decodeZstd(bytes, largestTableText + largestTable)
    if (text === undefined || text.length > largestTableText) return undefined
    if (format === 'estargz' && digest !== undefined && digestOf(text) !== digest) return undefined
    const table: unknown = JSON.parse(new TextDecoder().decode(text))
    const entries = isJsonObject(table) ? table['entries'] : undefined
    if (!Array.isArray(entries) || entries.length > mostEntries) return undefined
    const pieces = piecesOf(entries, place.start - (format === 'zstd:chunked' ? 8 : 0))
    return pieces === undefined ? undefined : { pieces, files: filesOf(entries) }
  } catch {
    return undefined
  }
}

async function unpackedTable(bytes: Uint8Array): Promise<Uint8Array> {
  return await collect(decompress(once(bytes), { maxBytes: largestTableText }), largestTableText, 'table')
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** eStargz has its table as a member of a tar. */
function tableOfTar(tar: Uint8Array): Uint8Array | undefined {
  let found: Uint8Array | undefined
  const decoder = new TarDecoder({
    entry: ({ entry: { path }, extents: [extent] }) => {
      if (path === 'stargz.index.json' && extent !== undefined)
        found ??= tar.subarray(extent.position, extent.position + extent.length)
      return false
    },
    content: () => {},
    end: () => {},
  })
  decoder.push(tar)
  return found
}

function piecesOf(entries: readonly unknown[], end: number): readonly LayerPiece[] | undefined {
  const pieces = new PieceList()
  for (const entry of entries) {
    if (!isJsonObject(entry)) return undefined
    const { type, offset = 0, innerOffset = 0, endOffset = 0, digest, chunkDigest, size = 0 } = entry
    const isChunk = type === 'chunk'
    if (typeof size !== 'number' || innerOffset !== 0) return undefined
    if (!isChunk && !pieces.beginMember(metadataOf(entry), size, endOffset)) return undefined
    if (!isChunk && (type !== 'reg' || size === 0)) continue
    const sum = chunkDigest ?? (isChunk ? undefined : digest)
    if (typeof sum !== 'string' || !pieces.beginChunk(sum, offset)) return undefined
  }
  return pieces.finish(end)
}

function filesOf(entries: readonly unknown[]): readonly LayerFile[] {
  let last = 0
  return entries.flatMap((entry): readonly LayerFile[] => {
    if (!isJsonObject(entry)) return []
    const { type, name, size, digest, offset, endOffset } = entry
    if (type !== 'reg' || typeof name !== 'string' || typeof digest !== 'string') return []
    if (!isPosition(size) || !isPosition(offset) || !isPosition(endOffset) || offset < last || endOffset <= offset)
      return []
    last = endOffset
    return [{ name, size, digest, start: offset, end: endOffset }]
  })
}

/** Where pieces begin, in their order, and what is told of each. */
class PieceList {
  readonly #pieces: LayerPiece[] = []
  #start = 0
  #told: string[] = []
  /** Of the file that was last begun: its size, and where its content ends. */
  #size = 0
  #contentEnd = 0

  /** What comes next stands in the headers of a member; false for a position that cannot be. */
  beginMember(metadata: string, size: number, contentEnd: unknown): boolean {
    // eStargz does not say where content ends: what follows a file's last chunk is then one with it.
    if (this.#contentEnd > 0 && !this.#cut(this.#contentEnd)) return false
    this.#told.push(`after ${this.#size % 512}`, metadata)
    if (!isPosition(contentEnd)) return false
    this.#contentEnd = contentEnd
    this.#size = size
    return true
  }

  beginChunk(digest: string, offset: unknown): boolean {
    if (!isPosition(offset) || !this.#cut(offset)) return false
    this.#told.push(digest)
    return true
  }

  finish(end: number): readonly LayerPiece[] | undefined {
    if (this.#contentEnd > 0 && !this.#cut(this.#contentEnd)) return undefined
    this.#told.push(`after ${this.#size % 512}`, 'end')
    return this.#cut(end) ? this.#pieces : undefined
  }

  #cut(position: number): boolean {
    if (position < this.#start) return false
    const size = position - this.#start
    if (size > 0) this.#pieces.push({ start: this.#start, end: position, key: keyOf(this.#told, size) })
    this.#start = position
    if (size > 0) this.#told = []
    return true
  }
}

function isPosition(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function keyOf(told: readonly string[], size: number): string {
  const text = told.join('\n')
  return `${size} ${text.length <= 80 ? text : `${text.length} ${Bun.hash(text).toString(36)}`}`
}

/** All that is told of a member and stands in its headers, which are in the bytes before its content. */
function metadataOf(entry: Readonly<Record<string, unknown>>): string {
  const told = Object.entries(entry).filter(([key]) => !contentFields.has(key))
  return JSON.stringify(told)
}

const contentFields: ReadonlySet<string> = new Set(['offset', 'endOffset', 'digest', 'chunkSize', 'chunkDigest'])
