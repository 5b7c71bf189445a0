import { type BlockCompressor, compressBlock, type CompressionSettings } from '../../compression/compress.ts'

/** Told where a piece begins and ends in the blob. */
export type PiecePlace = (start: number, end: number) => void

interface Piece {
  readonly compressed: Promise<Uint8Array>
  readonly place: PiecePlace | undefined
}

export interface PieceOptions {
  /** Where pieces are compressed; on this thread by default. */
  readonly compressor?: BlockCompressor | undefined
  /** Pieces in work at once with a `compressor` of one's own. */
  readonly concurrency?: number | undefined
}

/** Compressing so little here takes less time than having it done on a thread. */
const smallPiece = 16 * 1024

/** Pieces of a blob on their way through the compressor, each a frame or member of its own. */
export class CompressedPieces {
  readonly #settings: CompressionSettings
  readonly #compressor: BlockCompressor
  readonly #concurrency: number
  readonly #pieces: Piece[] = []
  #written = 0

  constructor(settings: CompressionSettings, { compressor, concurrency = 2 }: PieceOptions) {
    this.#settings = settings
    this.#compressor = compressor ?? compressBlock
    this.#concurrency = compressor === undefined ? 1 : concurrency
  }

  /** Bytes given so far: where the next piece begins. */
  get written(): number {
    return this.#written
  }

  /** Adds a piece, whose bytes are then not the caller's any more. */
  add(bytes: Uint8Array<ArrayBuffer>, place?: PiecePlace): void {
    const compressor = bytes.length < smallPiece ? compressBlock : this.#compressor
    const compressed = Promise.resolve(compressor(bytes, this.#settings))
    // It may fail before its turn comes; the error surfaces there.
    compressed.catch(() => {})
    this.#pieces.push({ compressed, place })
  }

  /** What is compressed by now; all of it with `isAll`. */
  async *ready(isAll: boolean): AsyncGenerator<Uint8Array> {
    while (this.#pieces.length > (isAll ? 0 : this.#concurrency)) {
      const { compressed, place } = this.#pieces.shift() as Piece
      const bytes = await compressed
      place?.(this.#written, this.#written + bytes.length)
      this.#written += bytes.length
      yield bytes
    }
  }
}
