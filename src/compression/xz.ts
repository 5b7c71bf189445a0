import { CairnError } from '../errors/error.ts'
import type { ByteSource } from '../streams/source.ts'
import type { InputBuffer } from './input-buffer.ts'
import { Lzma2Decoder, largestChunk } from './lzma2.ts'
import { type Check, createCheck } from './xz-check.ts'

/** The dictionary of `xz -9` is 64 MiB; beyond this a file may not make us hold memory. */
const largestDictionary = 256 * 1024 * 1024
const headerMagic = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]
const footerMagic = [0x59, 0x5a]
const lzma2Filter = 0x21

/**
 * xz streams (xz-file-format 1.1.0) to bytes; every header, block, sum and the index are checked. LZMA2 alone, without
 * the delta and branch filters, which `xz` only uses when told to. Fails with COMPRESSION_INVALID, NOT_SUPPORTED for a
 * filter, LIMIT_EXCEEDED for a dictionary over 256 MiB.
 */
export async function* decodeXz(input: InputBuffer, name: string): ByteSource {
  const reader = new StreamReader(input, name)
  while (await reader.beginsStream()) {
    for (;;) {
      const block = await reader.beginBlock()
      if (block === undefined) break
      yield* reader.readBlock(block)
    }
    await reader.endStream()
  }
}

interface Block {
  readonly headerLength: number
  readonly dictionarySize: number
  readonly compressedSize: number | undefined
  readonly size: number | undefined
}

class StreamReader {
  readonly #input: InputBuffer
  readonly #name: string
  #flags = 0
  #streams = 0
  /** Sizes of the stream's blocks as its index must give them: unpadded, uncompressed. */
  #sizes: (readonly [number, number])[] = []

  constructor(input: InputBuffer, name: string) {
    this.#input = input
    this.#name = name
  }

  /** Reads a stream header, §2.1.1; false at the end of the file. Streams may be followed by zeros, §2.2. */
  async beginsStream(): Promise<boolean> {
    while (this.#streams > 0 && (await this.#input.fill(4)) && this.#word(this.#input.start) === 0)
      this.#input.start += 4
    if (this.#streams > 0 && this.#input.available === 0) return false
    await this.#need(12)
    const { bytes, start } = this.#input
    if (!headerMagic.every((byte, index) => bytes[start + index] === byte))
      throw this.#invalid('a stream does not begin as one')
    if (crc32(bytes, start + 6, start + 8) !== this.#word(start + 8))
      throw this.#invalid('the sum of a stream header is wrong')
    this.#flags = bytes[start + 7] as number
    if (bytes[start + 6] !== 0 || createCheck(this.#flags) === undefined) throw this.#unsupported('its kind of check')
    this.#input.start += 12
    this.#streams++
    this.#sizes = []
    return true
  }

  /** Reads a block header, §3.1; undefined when the index follows instead. */
  async beginBlock(): Promise<Block | undefined> {
    await this.#need(1)
    const first = this.#input.bytes[this.#input.start] as number
    if (first === 0) return undefined
    const length = (first + 1) * 4
    await this.#need(length)
    const { bytes, start } = this.#input
    const end = start + length - 4
    if (crc32(bytes, start, end) !== this.#word(end)) throw this.#invalid('the sum of a block header is wrong')
    const flags = bytes[start + 1] as number
    if ((flags & 0x3c) !== 0) throw this.#unsupported('its block flags')
    if ((flags & 0x03) !== 0) throw this.#unsupported('a filter besides LZMA2')
    const fields = new Integers(bytes, start + 2, end)
    const compressedSize = (flags & 0x40) === 0 ? undefined : fields.next()
    const size = (flags & 0x80) === 0 ? undefined : fields.next()
    if (fields.next() !== lzma2Filter) throw this.#unsupported('a filter other than LZMA2')
    if (fields.next() !== 1) throw this.#invalid('its filter has no properties')
    const dictionarySize = this.#dictionarySize(fields.next())
    if (!fields.isRestZero()) throw this.#invalid('a block header has bytes to spare')
    this.#input.start += length
    return { headerLength: length, dictionarySize, compressedSize, size }
  }

  #dictionarySize(code: number | undefined): number {
    if (code === undefined || code > 40) throw this.#invalid('its dictionary size is impossible')
    const size = code === 40 ? 0xffffffff : (2 | (code & 1)) * 2 ** ((code >> 1) + 11)
    if (size > largestDictionary)
      throw new CairnError(
        'LIMIT_EXCEEDED',
        `${this.#name} needs a dictionary of ${size} bytes, more than ${largestDictionary}`,
      )
    return size
  }

  async *readBlock(block: Block): ByteSource {
    const check = createCheck(this.#flags) as Check
    const decoder = new Lzma2Decoder(block.dictionarySize)
    let packed = 0
    let size = 0
    for (;;) {
      await this.#input.fill(largestChunk)
      const { bytes, start, end } = this.#input
      const length = Lzma2Decoder.chunkLength(bytes, start, end)
      if (length === undefined || start + length > end) throw this.#invalid('it is cut off')
      const result = decoder.decode(bytes, start, length)
      if (!(result instanceof Uint8Array) && result !== 'end') throw this.#invalid(result.problem)
      this.#input.start += length
      packed += length
      if (result === 'end') break
      size += result.length
      check.update(result)
      yield result
    }
    if ((block.compressedSize ?? packed) !== packed || (block.size ?? size) !== size)
      throw this.#invalid('a block is not as long as its header says')
    await this.#endBlock(check, packed)
    this.#sizes.push([block.headerLength + packed + check.length, size])
  }

  async #endBlock(check: Check, packed: number): Promise<void> {
    const padding = (4 - (packed % 4)) % 4
    await this.#need(padding + check.length)
    const { bytes, start } = this.#input
    if (bytes.subarray(start, start + padding).some((byte) => byte !== 0))
      throw this.#invalid('a block is padded with other than zeros')
    const sum = bytes.subarray(start + padding, start + padding + check.length)
    if (Buffer.compare(sum, check.digest()) !== 0) throw this.#invalid('the sum of a block is wrong')
    this.#input.start += padding + check.length
  }

  /** Reads the index (§4) and the footer (§2.1.2) and compares them with the blocks that were there. */
  async endStream(): Promise<void> {
    // Two numbers of at most nine bytes a block, their count, and what surrounds them.
    await this.#input.fill(18 * this.#sizes.length + 32)
    const { bytes, start, end } = this.#input
    const fields = new Integers(bytes, start + 1, end)
    let isRight = fields.next() === this.#sizes.length
    for (const [unpadded, size] of this.#sizes) {
      isRight &&= fields.next() === unpadded
      isRight &&= fields.next() === size
    }
    if (!isRight) throw this.#invalid('its index does not fit its blocks')
    const sumAt = start + Math.ceil((fields.position - start) / 4) * 4
    await this.#need(sumAt + 16 - start)
    if (crc32(bytes, start, sumAt) !== this.#word(sumAt)) throw this.#invalid('the sum of its index is wrong')
    this.#checkFooter(sumAt + 4, sumAt + 4 - start)
    this.#input.start = sumAt + 16
  }

  #checkFooter(at: number, indexLength: number): void {
    const { bytes } = this.#input
    const isRight =
      this.#word(at) === crc32(bytes, at + 4, at + 10) &&
      (this.#word(at + 4) + 1) * 4 === indexLength &&
      bytes[at + 8] === 0 &&
      bytes[at + 9] === this.#flags &&
      footerMagic.every((byte, index) => bytes[at + 10 + index] === byte)
    if (!isRight) throw this.#invalid('a stream does not end as it should')
  }

  #word(at: number): number {
    const { bytes } = this.#input
    const word = (index: number): number => bytes[at + index] ?? 0
    return (word(0) | (word(1) << 8) | (word(2) << 16) | (word(3) << 24)) >>> 0
  }

  async #need(count: number): Promise<void> {
    if (!(await this.#input.fill(count))) throw this.#invalid('it is cut off')
  }

  #invalid(reason: string): CairnError {
    return new CairnError('COMPRESSION_INVALID', `${this.#name} is no whole xz data: ${reason}`)
  }

  #unsupported(what: string): CairnError {
    return new CairnError('NOT_SUPPORTED', `${this.#name} is xz data that uses ${what}`, {
      hint: 'Compress it with xz and its default filters.',
    })
  }
}

/** Multibyte integers, §1.2: seven bits a byte, the lowest first. */
class Integers {
  position: number
  readonly #bytes: Uint8Array
  readonly #end: number

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.position = start
    this.#end = end
  }

  next(): number | undefined {
    let value = 0
    for (let shift = 0; shift < 63 && this.position < this.#end; shift += 7) {
      const byte = this.#bytes[this.position++] as number
      value += (byte & 0x7f) * 2 ** shift
      if ((byte & 0x80) === 0) return Number.isSafeInteger(value) ? value : undefined
    }
    return undefined
  }

  isRestZero(): boolean {
    return this.#bytes.subarray(this.position, this.#end).every((byte) => byte === 0)
  }
}

function crc32(bytes: Uint8Array, start: number, end: number): number {
  return Bun.hash.crc32(bytes.subarray(start, end))
}
