import { BLOCK_SIZE, numberField } from './header-block.ts'
import { decimal } from './pax.ts'

/** A piece of a sparse file that holds data: all else reads as zeros. Bytes. */
export interface SparsePiece {
  readonly offset: number
  readonly length: number
}

/** `offset, length, offset, length…` as pieces, or undefined when the count is odd. */
export function sparsePieces(numbers: readonly number[]): SparsePiece[] | undefined {
  if (numbers.length % 2 !== 0) return undefined
  const pieces: SparsePiece[] = []
  for (let index = 0; index < numbers.length; index += 2)
    pieces.push({ offset: numbers[index] as number, length: numbers[index + 1] as number })
  return pieces
}

/** True when the pieces rise, do not overlap, end within `size` and hold exactly `stored` bytes. */
export function isSparseMapValid(pieces: readonly SparsePiece[], size: number, stored: number): boolean {
  let end = 0
  let sum = 0
  for (const { offset, length } of pieces) {
    if (offset < end) return false
    end = offset + length
    sum += length
    if (end > size) return false
  }
  return sum === stored
}

/** GNU.sparse.map of format 0.1: `offset,length,offset,length…`. */
export function parseCommaMap(value: Uint8Array): SparsePiece[] | undefined {
  if (value.length === 0) return []
  const numbers: number[] = []
  let start = 0
  while (start <= value.length) {
    const comma = value.indexOf(0x2c, start)
    const end = comma < 0 ? value.length : comma
    const number = decimal(value.subarray(start, end))
    if (number === undefined) return undefined
    numbers.push(number)
    start = end + 1
  }
  return sparsePieces(numbers)
}

/** One table of old GNU sparse pieces: `count` pairs of 12-byte numbers. An empty pair ends it. */
export function parseOldPieces(block: Uint8Array, start: number, count: number): SparsePiece[] | undefined {
  const pieces: SparsePiece[] = []
  for (let index = 0; index < count; index++) {
    const at = start + index * 24
    if (block[at] === 0) break
    const offset = numberField(block, [at, 12])
    const length = numberField(block, [at + 12, 12])
    if (offset === undefined || length === undefined || offset < 0 || length < 0) return undefined
    pieces.push({ offset, length })
  }
  return pieces
}

/** The map that format 1.0 puts before the data: decimal lines, padded to a block. Fed block by block. */
export class SparseMapLines {
  readonly #numbers: number[] = []
  #wanted = -1
  #line = 0
  #digits = 0

  /** True when the map is complete; undefined when it is malformed. */
  push(block: Uint8Array): boolean | undefined {
    for (let index = 0; index < BLOCK_SIZE; index++) {
      const byte = block[index] as number
      if (byte !== 0x0a) {
        const digit = byte - 0x30
        if (digit < 0 || digit > 9 || ++this.#digits > 16) return undefined
        this.#line = this.#line * 10 + digit
        continue
      }
      if (this.#digits === 0 || !Number.isSafeInteger(this.#line)) return undefined
      if (this.#wanted < 0) this.#wanted = this.#line * 2
      else this.#numbers.push(this.#line)
      this.#line = 0
      this.#digits = 0
      if (this.#numbers.length === this.#wanted) return true
    }
    return false
  }

  get pieces(): SparsePiece[] {
    return sparsePieces(this.#numbers) as SparsePiece[]
  }
}
