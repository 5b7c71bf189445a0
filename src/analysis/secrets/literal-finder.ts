/** Where one of the literals stands. */
export type LiteralHit = (literal: number, at: number) => void

interface Candidate {
  readonly literal: number
  /** Bytes of the literal before the pair that led here. */
  readonly offset: number
}

/**
 * Finds any of some literals in bytes at several gigabytes a second: each pair of bytes at an even position is looked
 * up in a table, and only where it may belong to a literal are bytes compared. Whether a literal stands at an even or
 * an odd position, one pair at an even position lies within it, as it has at least three bytes.
 */
export class LiteralFinder {
  readonly #literals: readonly Uint8Array[]
  /** For each pair of bytes, 0 or one more than its place in `#candidates`. */
  readonly #table = new Uint8Array(65_536)
  readonly #candidates: Candidate[][] = []

  /** Throws RangeError for a literal of less than three bytes, and for more literals than the table can tell apart. */
  constructor(literals: readonly string[]) {
    this.#literals = literals.map((text) => new TextEncoder().encode(text))
    for (const [literal, bytes] of this.#literals.entries()) {
      if (bytes.length < 3)
        throw new RangeError(`a literal has at least three bytes: ${JSON.stringify(literals[literal])}`)
      for (const parity of [0, 1]) this.#add(literal, bytes, parity)
    }
    if (this.#candidates.length > 255) throw new RangeError('too many literals')
  }

  /** Calls `found` with the number of each literal and the position where it begins. */
  find(bytes: Uint8Array, found: LiteralHit): void {
    const aligned = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes)
    const pairs = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length >> 1)
    const table = this.#table
    const whole = pairs.length & ~3
    for (let at = 0; at < whole; at += 4) {
      const a = table[pairs[at] as number] as number
      const b = table[pairs[at + 1] as number] as number
      const c = table[pairs[at + 2] as number] as number
      const d = table[pairs[at + 3] as number] as number
      if ((a | b | c | d) === 0) continue
      if (a !== 0) this.#compare(aligned, 2 * at, a, found)
      if (b !== 0) this.#compare(aligned, 2 * at + 2, b, found)
      if (c !== 0) this.#compare(aligned, 2 * at + 4, c, found)
      if (d !== 0) this.#compare(aligned, 2 * at + 6, d, found)
    }
    for (let at = whole; at < pairs.length; at++) {
      const slot = table[pairs[at] as number] as number
      if (slot !== 0) this.#compare(aligned, 2 * at, slot, found)
    }
  }

  #compare(bytes: Uint8Array, pairAt: number, slot: number, found: LiteralHit): void {
    for (const { literal, offset } of this.#candidates[slot - 1] as Candidate[]) {
      const start = pairAt - offset
      const wanted = this.#literals[literal] as Uint8Array
      if (start < 0 || start + wanted.length > bytes.length) continue
      let same = 0
      while (same < wanted.length && bytes[start + same] === wanted[same]) same++
      if (same === wanted.length) found(literal, start)
    }
  }

  /** Enters the pair of a literal that files have least, for a literal that begins at a position of this parity. */
  #add(literal: number, bytes: Uint8Array, parity: number): void {
    let best = parity
    for (let offset = parity; offset + 1 < bytes.length; offset += 2)
      if (pairCost(bytes, offset) < pairCost(bytes, best)) best = offset
    const pair = (bytes[best] as number) | ((bytes[best + 1] as number) << 8)
    if (this.#table[pair] === 0) this.#table[pair] = this.#candidates.push([])
    this.#candidates[(this.#table[pair] as number) - 1]?.push({ literal, offset: best })
  }
}

function pairCost(bytes: Uint8Array, offset: number): number {
  return byteCost(bytes[offset] as number) * byteCost(bytes[offset + 1] as number)
}

/** How common a byte is in what images hold: program code and text. */
function byteCost(byte: number): number {
  if (byte >= 0x61 && byte <= 0x7a) return 'etaoinsrl'.includes(String.fromCharCode(byte)) ? 8 : 4
  if (byte === 0x2d || byte === 0x2f || byte === 0x2e || byte === 0x5f) return 6
  return byte >= 0x30 && byte <= 0x39 ? 3 : 2
}
