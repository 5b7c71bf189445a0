/** What the next bytes of a zstd file are. */
type Part = 'magic' | 'descriptor' | 'block-header' | 'skipped' | 'skip-length'

const frameMagic = 0xfd2fb528
const dictionaryIdSizes = [0, 1, 2, 4]
const contentSizeSizes = [0, 2, 4, 8]

/**
 * Follows the frames of a zstd file (RFC 8878 §3.1) by their headers alone, without decoding, to tell whether the file
 * ends where a frame does: node:zlib's decoder takes a file that is cut off, or followed by other data, for whole.
 */
export class ZstdFrames {
  #part: Part = 'magic'
  /** The field being gathered, least significant byte first. */
  #value = 0
  #got = 0
  #need = 4
  #skip = 0
  #hasChecksum = false
  #isLastBlock = false
  /** Blocks that have begun. */
  #blocks = 0

  /** True between frames. */
  get isWhole(): boolean {
    return this.#part === 'magic' && this.#got === 0
  }

  /**
   * Takes the next bytes, all of them or up to where `blocks` more blocks have begun, each of which holds 128 KiB at most
   * (RFC 8878 §3.1.1.2.4); gives how many, undefined when they are no zstd data.
   */
  push(chunk: Uint8Array, blocks = Number.POSITIVE_INFINITY): number | undefined {
    const last = this.#blocks + blocks
    for (let offset = 0; offset < chunk.length;) {
      if (this.#blocks >= last) return offset
      if (this.#part === 'skipped') {
        const count = Math.min(this.#skip, chunk.length - offset)
        this.#skip -= count
        offset += count
        if (this.#skip === 0) this.#afterSkip()
        continue
      }
      this.#value += (chunk[offset++] as number) * 2 ** (8 * this.#got)
      if (++this.#got < this.#need) continue
      const value = this.#value
      this.#value = 0
      this.#got = 0
      if (!this.#take(value)) return undefined
    }
    return chunk.length
  }

  #take(value: number): boolean {
    switch (this.#part) {
      case 'magic':
        if (value === frameMagic) this.#expect('descriptor', 1)
        else if ((value & 0xfffffff0) >>> 0 === 0x184d2a50) this.#expect('skip-length', 4)
        else return false
        return true
      case 'descriptor': {
        this.#hasChecksum = (value & 4) !== 0
        const isSingleSegment = (value & 0x20) !== 0
        const sizeCode = value >> 6
        const contentSize = sizeCode === 0 && isSingleSegment ? 1 : (contentSizeSizes[sizeCode] as number)
        const rest = (isSingleSegment ? 0 : 1) + (dictionaryIdSizes[value & 3] as number) + contentSize
        this.#isLastBlock = false
        this.#skipBytes(rest)
        return true
      }
      case 'block-header':
        return this.#takeBlockHeader(value)
      case 'skip-length':
        this.#isLastBlock = true
        this.#hasChecksum = false
        this.#skipBytes(value)
        return true
      case 'skipped':
        return true
      default:
        return this.#part satisfies never
    }
  }

  #takeBlockHeader(value: number): boolean {
    const type = (value >> 1) & 3
    if (type === 3) return false
    this.#blocks++
    this.#isLastBlock = (value & 1) !== 0
    const length = type === 1 ? 1 : value >> 3
    this.#skipBytes(length + (this.#isLastBlock && this.#hasChecksum ? 4 : 0))
    return true
  }

  #expect(part: Part, need: number): void {
    this.#part = part
    this.#need = need
  }

  #skipBytes(count: number): void {
    this.#skip = count
    this.#part = 'skipped'
    if (count === 0) this.#afterSkip()
  }

  #afterSkip(): void {
    if (this.#isLastBlock) this.#expect('magic', 4)
    else this.#expect('block-header', 3)
  }
}
