import { type Digest, Digester } from '../../oci/digest.ts'
import type { TarEntry } from '../../tar/entry.ts'
import type { TarMember } from '../../tar/member.ts'
import type { ChunkEntry } from './chunk-table.ts'
import { Crc64 } from './crc64.ts'

const types: Record<TarEntry['type'], string> = {
  file: 'reg',
  hardlink: 'hardlink',
  symlink: 'symlink',
  'character-device': 'char',
  'block-device': 'block',
  directory: 'dir',
  fifo: 'fifo',
}

/**
 * What a table of contents says of a member; `header` is all that stands in the tar before its content. Undefined where
 * JSON cannot say it: a name that is no UTF-8.
 */
export function describeMember({ entry }: TarMember, header: Uint8Array): ChunkEntry | undefined {
  const { path, linkname, size, uid, gid, mtimeSeconds, mtimeNanoseconds, devMajor, devMinor, xattrs } = entry
  if (!path.isWellFormed() || !linkname.isWellFormed() || header.length < 512) return undefined
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString('latin1')
  const own = text.slice(-512)
  const type = types[entry.type]
  const name = type === 'dir' && hasSlash(text, own, path) ? `${path}/` : path
  const attributes = [...xattrs].map(([key, value]) => [key, value.toBase64()] as const)
  return {
    type,
    name,
    ...(linkname === '' ? {} : { linkName: linkname }),
    ...optional('mode', parseInt(own.slice(100, 108).replaceAll('\0', ''), 8) || 0),
    ...optional('size', size),
    ...optional('uid', uid),
    ...optional('gid', gid),
    modtime: timeText(mtimeSeconds, mtimeNanoseconds),
    ...paxTime('accesstime', /\d+ atime=(\d+)(?:\.(\d+))?\n/.exec(text)),
    ...paxTime('changetime', /\d+ ctime=(\d+)(?:\.(\d+))?\n/.exec(text)),
    ...optional('devMajor', devMajor),
    ...optional('devMinor', devMinor),
    ...(attributes.length === 0 ? {} : { xattrs: Object.fromEntries(attributes) }),
  }
}

/** Readers of the table compare names as the tar has them, where a directory's mostly ends with a slash. */
function hasSlash(text: string, own: string, path: string): boolean {
  const name = own.slice(0, 100).split('\0')[0] ?? ''
  if (name.endsWith('/')) return true
  const bytes = Buffer.from(`${path}/`).toString('latin1')
  return text.includes(` path=${bytes}\n`) || text.slice(0, -512).includes(`${bytes}\0`)
}

function optional<Key extends string>(key: Key, value: number): Partial<Record<Key, number>> {
  return value === 0 ? {} : ({ [key]: value } as Record<Key, number>)
}

function paxTime<Key extends string>(key: Key, match: RegExpExecArray | null): Partial<Record<Key, string>> {
  if (match === null) return {}
  const nanoseconds = Number((match[2] ?? '').padEnd(9, '0').slice(0, 9))
  return { [key]: timeText(Number(match[1]), nanoseconds) } as Record<Key, string>
}

/** RFC 3339 with as many digits as it takes, as Go writes it. */
function timeText(seconds: number, nanoseconds: number): string {
  const date = new Date(seconds * 1000)
  const whole = (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString().slice(0, 19)
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`
  return `${whole}${fraction}Z`
}

interface Chunk {
  readonly chunkOffset: number
  readonly chunkSize: number
  readonly chunkDigest: Digest
  offset: number
  end: number
}

/** A file's content on its way into chunks. */
export class OpenFile {
  readonly #entry: ChunkEntry
  readonly #digester = new Digester()
  readonly #sum = new Crc64()
  readonly #chunks: Chunk[] = []
  #held: Uint8Array[] = []
  #heldSize = 0
  #chunked = 0

  constructor(entry: ChunkEntry) {
    this.#entry = entry
  }

  get name(): string {
    return this.#entry.name
  }

  get size(): number {
    return this.#entry.size ?? 0
  }

  /** Keeps a copy of content, which is the current chunk's. */
  gather(bytes: Uint8Array): void {
    this.#sum.update(bytes)
    this.#held.push(new Uint8Array(bytes))
    this.#heldSize += bytes.length
  }

  /** Ends the current chunk; undefined where it is empty. `place` is to be told where it came to stand. */
  takeChunk(): { bytes: Uint8Array<ArrayBuffer>; place: (offset: number, end: number) => void } | undefined {
    if (this.#heldSize === 0) return undefined
    const bytes = joined(this.#held)
    this.#held = []
    this.#heldSize = 0
    const chunk = {
      chunkOffset: this.#chunked,
      chunkSize: bytes.length,
      chunkDigest: new Digester().update(bytes).digest(),
      offset: 0,
      end: 0,
    }
    this.#chunked += bytes.length
    if (this.#chunks.length > 0 || bytes.length < this.size) this.#digester.update(bytes)
    this.#chunks.push(chunk)
    const place = (offset: number, end: number): void => {
      chunk.offset = offset
      chunk.end = end
    }
    return { bytes, place }
  }

  /** CRC-64 of the content. */
  sum(): Uint8Array {
    return this.#sum.digest()
  }

  /** The file's entries in the table, once all chunks have their places. */
  entries(): readonly ChunkEntry[] {
    const [first] = this.#chunks
    if (first === undefined) return [this.#entry]
    const isOne = this.#chunks.length === 1
    const digest = isOne ? first.chunkDigest : this.#digester.digest()
    const endOffset = this.#chunks.at(-1)?.end ?? 0
    const main = { ...this.#entry, digest, offset: first.offset, endOffset }
    if (isOne) return [main]
    const [head, ...rest] = this.#chunks.map(({ chunkOffset, chunkSize, chunkDigest, offset }) => ({
      offset,
      chunkSize,
      chunkOffset,
      chunkDigest,
    }))
    const { chunkSize, chunkDigest } = head as Chunk
    return [
      { ...main, chunkSize, chunkDigest },
      ...rest.map((chunk) => ({ type: 'chunk', name: this.#entry.name, ...chunk })),
    ]
  }
}

/** All pieces in one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const [only] = pieces
  if (pieces.length === 1 && only !== undefined) return only as Uint8Array<ArrayBuffer>
  const whole = new Uint8Array(pieces.reduce((size, { length }) => size + length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
