import { LzmaDecoder } from './lzma.ts'

/** Longest chunk: six bytes of header and 64 KiB of compressed or plain data. */
export const largestChunk = 6 + 65_536

/** What a chunk held beyond its bytes; a text says what is wrong with it. */
export type ChunkResult = Uint8Array | 'end' | { readonly problem: string }

/**
 * LZMA2 (xz-file-format 1.1.0 §5.3.1; layout as in the LZMA SDK): a row of chunks, each plain or LZMA with or without a
 * reset of dictionary, properties and state.
 */
export class Lzma2Decoder {
  readonly #lzma: LzmaDecoder
  #needsDictionary = true
  #needsProperties = true

  constructor(dictionarySize: number) {
    this.#lzma = new LzmaDecoder(dictionarySize)
  }

  /** Bytes the chunk at `offset` takes, by its header; undefined when `bytes` is too short to tell. */
  static chunkLength(bytes: Uint8Array, offset: number, end: number): number | undefined {
    const control = bytes[offset]
    if (offset >= end || control === undefined) return undefined
    if (control === 0) return 1
    const headerLength = control < 0x80 ? 3 : control >= 0xc0 ? 6 : 5
    if (offset + headerLength > end) return undefined
    const at = control < 0x80 ? offset + 1 : offset + 3
    return headerLength + ((bytes[at] as number) << 8) + (bytes[at + 1] as number) + 1
  }

  /** Decodes the whole chunk at `offset`; its bytes are valid until the next call. */
  decode(bytes: Uint8Array, offset: number, length: number): ChunkResult {
    const control = bytes[offset] as number
    if (control === 0) return 'end'
    if (control >= 0x80) return this.#decodeLzma(bytes, offset, length, control)
    if (control > 2) return { problem: 'a chunk is of no known kind' }
    if (control === 1) this.#resetDictionary()
    else if (this.#needsDictionary) return { problem: 'its first chunk does not reset the dictionary' }
    return this.#lzma.copy(bytes.subarray(offset + 3, offset + length))
  }

  #decodeLzma(bytes: Uint8Array, offset: number, length: number, control: number): ChunkResult {
    const size = ((control & 0x1f) << 16) + ((bytes[offset + 1] as number) << 8) + (bytes[offset + 2] as number) + 1
    const reset = (control >> 5) & 3
    if (reset === 3) this.#resetDictionary()
    else if (this.#needsDictionary) return { problem: 'its first chunk does not reset the dictionary' }
    let start = offset + 5
    if (reset >= 2) {
      if (!this.#lzma.setProperties(bytes[start++] as number)) return { problem: 'a chunk has impossible properties' }
      this.#needsProperties = false
    } else if (this.#needsProperties) {
      return { problem: 'its first LZMA chunk has no properties' }
    }
    if (reset >= 1) this.#lzma.resetState()
    return this.#lzma.decode(bytes, start, offset + length, size) ?? { problem: 'a chunk is corrupt' }
  }

  #resetDictionary(): void {
    this.#lzma.resetDictionary()
    this.#needsDictionary = false
  }
}
