import { CairnError } from '../errors/error.ts'
import type { ByteSource } from '../streams/source.ts'
import type { InputBuffer } from './input-buffer.ts'

/**
 * No compressed block is longer: at most 900,001 symbols of 20 bits, 32,768 selectors of up to 6 bits and six code tables.
 */
const largestBlock = 2_400_000

const blockMark = 0x314159265359
const endMark = 0x177245385090

/** bzip2 streams to bytes; each stream's blocks and sums are checked. Fails with COMPRESSION_INVALID. */
export async function* decodeBzip2(input: InputBuffer, name: string): ByteSource {
  const fail = (reason: string): CairnError =>
    new CairnError('COMPRESSION_INVALID', `${name} is no whole bzip2 data: ${reason}`)
  while (await input.fill(4)) {
    const level = (input.bytes[input.start + 3] ?? 0) - 0x30
    const hasMagic = String.fromCharCode(...input.bytes.subarray(input.start, input.start + 3)) === 'BZh'
    if (!hasMagic || level < 1 || level > 9) throw fail('a stream does not begin as one')
    input.start += 4
    const decoder = new BlockDecoder(level * 100_000, fail)
    for (;;) {
      await input.fill(largestBlock)
      const block = decoder.next(input)
      if (block === undefined) break
      yield* block
    }
  }
  if (input.available > 0) throw fail('bytes follow that are none')
}

class BlockDecoder {
  readonly #symbols: Uint32Array
  readonly #fail: (reason: string) => CairnError
  #bits = 0
  #bitCount = 0
  #streamSum = 0
  #input: InputBuffer | undefined

  constructor(blockSize: number, fail: (reason: string) => CairnError) {
    this.#symbols = new Uint32Array(blockSize)
    this.#fail = fail
  }

  /** The bytes of the next block, or undefined at the end of the stream. `input` holds the whole block. */
  next(input: InputBuffer): Generator<Uint8Array> | undefined {
    this.#input = input
    const mark = this.#read(24) * 0x1000000 + this.#read(24)
    const sum = ((this.#read(16) << 16) | this.#read(16)) >>> 0
    if (mark === endMark) {
      this.#bitCount = 0
      if (sum !== this.#streamSum) throw this.#fail('the sum of a stream is wrong')
      return undefined
    }
    if (mark !== blockMark) throw this.#fail('a block does not begin as one')
    if (this.#read(1) === 1) throw this.#fail('it uses randomisation, which bzip2 gave up in 1997')
    this.#streamSum = ((this.#streamSum << 1) | (this.#streamSum >>> 31)) >>> 0
    this.#streamSum = (this.#streamSum ^ sum) >>> 0
    return this.#decode(sum)
  }

  *#decode(sum: number): Generator<Uint8Array> {
    const origin = this.#read(24)
    const count = this.#readSymbols()
    if (origin >= count) throw this.#fail('a block points outside itself')
    let crc = 0xffffffff
    for (const bytes of runLengths(this.#symbols, origin, count)) {
      for (let index = 0; index < bytes.length; index++)
        crc = (crc << 8) ^ (crcTable[(crc >>> 24) ^ (bytes[index] as number)] as number)
      yield bytes
    }
    if (~crc >>> 0 !== sum) throw this.#fail('the sum of a block is wrong')
  }

  /** Undoes the Huffman coding and move-to-front; leaves the block's bytes and successors in #symbols. */
  #readSymbols(): number {
    const used = this.#readUsed()
    const tableCount = this.#read(3)
    const selectorCount = this.#read(15)
    if (tableCount < 2 || tableCount > 6 || selectorCount === 0) throw this.#fail('a block has no code tables')
    const selectors = this.#readSelectors(selectorCount, tableCount)
    const size = used.length + 2
    const tables = Array.from({ length: tableCount }, () => this.#readTable(size))
    const symbols = this.#symbols
    const front = used.slice()
    const endSymbol = size - 1
    let count = 0
    let run = 0
    let runBit = 1
    for (let group = 0; ; group++) {
      const table = tables[selectors[group] ?? -1]
      if (table === undefined) throw this.#fail('a block has too few selectors')
      for (let index = 0; index < 50; index++) {
        const symbol = this.#readSymbol(table)
        if (symbol <= 1) {
          run += runBit << symbol
          runBit <<= 1
          if (run > symbols.length) throw this.#fail('a run is longer than its block')
          continue
        }
        if (run > 0) {
          if (count + run > symbols.length) throw this.#fail('a block is longer than it may be')
          symbols.fill(front[0] as number, count, count + run)
          count += run
          run = 0
          runBit = 1
        }
        if (symbol === endSymbol) return linkSuccessors(symbols, count)
        if (count >= symbols.length) throw this.#fail('a block is longer than it may be')
        const byte = front[symbol - 1] as number
        front.copyWithin(1, 0, symbol - 1)
        front[0] = byte
        symbols[count++] = byte
      }
    }
  }

  #readUsed(): Uint8Array {
    const rows = this.#read(16)
    const used: number[] = []
    for (let row = 0; row < 16; row++) {
      if ((rows & (0x8000 >> row)) === 0) continue
      const columns = this.#read(16)
      for (let column = 0; column < 16; column++) if ((columns & (0x8000 >> column)) !== 0) used.push(row * 16 + column)
    }
    if (used.length === 0) throw this.#fail('a block uses no bytes')
    return new Uint8Array(used)
  }

  #readSelectors(count: number, tableCount: number): Uint8Array {
    const order = [...Array(tableCount).keys()]
    const selectors = new Uint8Array(count)
    for (let index = 0; index < count; index++) {
      let position = 0
      while (this.#read(1) === 1) if (++position >= tableCount) throw this.#fail('a selector is out of range')
      const [table] = order.splice(position, 1)
      order.unshift(table as number)
      selectors[index] = table as number
    }
    return selectors
  }

  #readTable(size: number): CodeTable {
    const lengths = new Uint8Array(size)
    let length = this.#read(5)
    for (let symbol = 0; symbol < size; symbol++) {
      while (this.#read(1) === 1) length += this.#read(1) === 0 ? 1 : -1
      if (length < 1 || length > 20) throw this.#fail('a code is too long')
      lengths[symbol] = length
    }
    return codeTable(lengths)
  }

  #readSymbol(table: CodeTable): number {
    const input = this.#input as InputBuffer
    while (this.#bitCount < shortBits && input.start < input.end) {
      this.#bits = ((this.#bits << 8) | (input.bytes[input.start++] as number)) & 0x7fffffff
      this.#bitCount += 8
    }
    if (this.#bitCount >= shortBits) {
      const found = table.short[(this.#bits >>> (this.#bitCount - shortBits)) & shortMask] as number
      if (found !== 0) {
        this.#bitCount -= found & 15
        return found >>> 4
      }
    }
    let code = 0
    for (let length = 1; length <= 20; length++) {
      code = (code << 1) | this.#read(1)
      const offset = code - (table.first[length] as number)
      if (offset >= 0 && offset < (table.counts[length] as number))
        return table.symbols[(table.offsets[length] as number) + offset] as number
    }
    throw this.#fail('a code has no symbol')
  }

  /** At most 24 bits, the highest first. */
  #read(count: number): number {
    const input = this.#input as InputBuffer
    while (this.#bitCount < count) {
      if (input.start >= input.end) throw this.#fail('it is cut off')
      this.#bits = ((this.#bits << 8) | (input.bytes[input.start++] as number)) & 0x7fffffff
      this.#bitCount += 8
    }
    this.#bitCount -= count
    return (this.#bits >>> this.#bitCount) & ((1 << count) - 1)
  }
}

/** Canonical Huffman codes: per length the first code, how many there are, and where their symbols begin. */
interface CodeTable {
  readonly first: Int32Array
  readonly counts: Int32Array
  readonly offsets: Int32Array
  readonly symbols: Uint16Array
  /** By the next ten bits: the symbol of a code no longer than these and its length, as symbol × 16 + length, or 0. */
  readonly short: Uint16Array
}

const shortBits = 10
const shortMask = (1 << shortBits) - 1

function codeTable(lengths: Uint8Array): CodeTable {
  const counts = new Int32Array(21)
  for (const length of lengths) counts[length] = (counts[length] as number) + 1
  const first = new Int32Array(21)
  const offsets = new Int32Array(21)
  let code = 0
  let offset = 0
  for (let length = 1; length <= 20; length++) {
    first[length] = code
    offsets[length] = offset
    code = (code + (counts[length] as number)) << 1
    offset += counts[length] as number
  }
  const symbols = new Uint16Array(lengths.length)
  const short = new Uint16Array(1 << shortBits)
  const next = offsets.slice()
  for (const [symbol, length] of lengths.entries()) {
    const place = next[length] as number
    symbols[place] = symbol
    next[length] = place + 1
    if (length > shortBits) continue
    const begin = ((first[length] as number) + place - (offsets[length] as number)) << (shortBits - length)
    short.fill(symbol * 16 + length, begin, begin + (1 << (shortBits - length)))
  }
  return { first, counts, offsets, symbols, short }
}

/** Inverse Burrows–Wheeler: puts into the upper 24 bits of each byte where its successor is. */
function linkSuccessors(symbols: Uint32Array, count: number): number {
  const starts = new Uint32Array(256)
  for (let index = 0; index < count; index++) {
    const byte = (symbols[index] as number) & 0xff
    starts[byte] = (starts[byte] as number) + 1
  }
  let sum = 0
  for (let byte = 0; byte < 256; byte++) {
    const size = starts[byte] as number
    starts[byte] = sum
    sum += size
  }
  for (let index = 0; index < count; index++) {
    const byte = (symbols[index] as number) & 0xff
    const place = starts[byte] as number
    starts[byte] = place + 1
    symbols[place] = ((symbols[place] as number) | (index << 8)) >>> 0
  }
  return count
}

/** Walks the linked bytes and undoes the first run-length coding: four equal bytes, then how many more. */
function* runLengths(symbols: Uint32Array, origin: number, count: number): Generator<Uint8Array> {
  const output = new Uint8Array(64 * 1024)
  let used = 0
  let link = (symbols[origin] as number) >>> 8
  let last = -1
  let same = 0
  for (let index = 0; index < count; index++) {
    const word = symbols[link] as number
    link = word >>> 8
    const byte = word & 0xff
    if (same === 4) {
      if (used + byte > output.length) {
        yield output.subarray(0, used)
        used = 0
      }
      output.fill(last, used, used + byte)
      used += byte
      same = 0
      last = -1
      continue
    }
    same = byte === last ? same + 1 : 1
    last = byte
    if (used === output.length) {
      yield output
      used = 0
    }
    output[used++] = byte
  }
  yield output.subarray(0, used)
}

/** CRC-32 with the highest bit first, as bzip2 has it. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24
  for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  return crc >>> 0
})
