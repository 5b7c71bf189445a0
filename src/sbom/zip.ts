import { UnreadableMetadata } from './package.ts'

/** A member of a zip archive. */
export interface ZipMember {
  readonly name: string
  /** Bytes once unpacked, as the directory says. */
  readonly size: number
}

interface Located extends ZipMember {
  readonly method: number
  readonly packed: number
  readonly offset: number
}

const endSignature = 0x06054b50
const directorySignature = 0x02014b50
const localSignature = 0x04034b50
const endSize = 22
const longestComment = 0xffff
const mostMembers = 200_000
const stored = 0
const deflated = 8

/** How many bytes may still be unpacked, in all, of an archive and those in it: members may lie over each other. */
export interface UnpackBudget {
  bytes: number
}

/** Reads members of a zip archive that is in memory (PKWARE's appnote: no ZIP64, no encryption). */
export class ZipReader {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #view: DataView
  readonly #members = new Map<string, Located>()

  /** Throws UnreadableMetadata for what is no whole archive. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#readDirectory()
  }

  get members(): Iterable<ZipMember> {
    return this.#members.values()
  }

  /** A member's bytes. Throws UnreadableMetadata for more than `limit` or the budget has, and for damage. */
  async read(name: string, limit: number, budget: UnpackBudget): Promise<Uint8Array<ArrayBuffer>> {
    const member = this.#members.get(name)
    if (member === undefined) throw new Error(`${name} is not in the archive`)
    const { offset, packed, size, method } = member
    if (size > limit || packed > limit) throw new UnreadableMetadata(`${name} in it has more than ${limit} bytes`)
    if (size > budget.bytes) throw new UnreadableMetadata('what is packed in it has more bytes than are read')
    budget.bytes -= size
    if (offset + 30 > this.#bytes.length || this.#view.getUint32(offset, true) !== localSignature)
      throw new UnreadableMetadata(`${name} in it is damaged`)
    const start = offset + 30 + this.#view.getUint16(offset + 26, true) + this.#view.getUint16(offset + 28, true)
    const data = this.#bytes.subarray(start, start + packed)
    if (data.length !== packed) throw new UnreadableMetadata(`${name} in it is not whole`)
    if (method === stored) return data
    if (method !== deflated) throw new UnreadableMetadata(`${name} in it is packed by method ${method}`)
    const { inflateRawSync } = await import('node:zlib')
    let unpacked: Uint8Array<ArrayBuffer> | undefined
    try {
      unpacked = inflateRawSync(data, { maxOutputLength: Math.max(size, 1) })
    } catch {
      // Told below.
    }
    if (unpacked?.byteLength !== size)
      throw new UnreadableMetadata(`${name} in it is damaged, or has other than ${size} bytes`)
    return new Uint8Array(unpacked.buffer, unpacked.byteOffset, unpacked.byteLength)
  }

  #readDirectory(): void {
    const end = this.#findEnd()
    let at = this.#view.getUint32(end + 16, true)
    const count = this.#view.getUint16(end + 10, true)
    if (count === 0xffff) throw new UnreadableMetadata('it is a ZIP64 archive')
    for (let index = 0; index < Math.min(count, mostMembers); index++) {
      if (at + 46 > end || this.#view.getUint32(at, true) !== directorySignature)
        throw new UnreadableMetadata('its directory is damaged')
      const nameLength = this.#view.getUint16(at + 28, true)
      const name = new TextDecoder().decode(this.#bytes.subarray(at + 46, at + 46 + nameLength))
      this.#members.set(name, {
        name,
        method: this.#view.getUint16(at + 10, true),
        packed: this.#view.getUint32(at + 20, true),
        size: this.#view.getUint32(at + 24, true),
        offset: this.#view.getUint32(at + 42, true),
      })
      at += 46 + nameLength + this.#view.getUint16(at + 30, true) + this.#view.getUint16(at + 32, true)
    }
  }

  #findEnd(): number {
    const last = this.#bytes.length - endSize
    for (let at = last; at >= Math.max(0, last - longestComment); at--)
      if (this.#view.getUint32(at, true) === endSignature) return at
    throw new UnreadableMetadata('it is no zip archive')
  }
}
