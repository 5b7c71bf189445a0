/** Largest piece decoded at once: an LZMA2 chunk's uncompressed limit. */
const largestOutput = 2 * 1024 * 1024

const initialProbability = 1024
const topByte = 0xff000000
/** Turns the order of unsigned 32-bit numbers held as signed ones into that of signed ones. */
const signBit = 0x80000000

/** Places in the one table of probabilities, for up to four position bits (lc + lp is at most 4 in LZMA2). */
const isMatch = 0
const isRep = isMatch + 12 * 16
const isRepG0 = isRep + 12
const isRepG1 = isRepG0 + 12
const isRepG2 = isRepG1 + 12
const isRep0Long = isRepG2 + 12
const slots = isRep0Long + 12 * 16
const specials = slots + 4 * 64
const align = specials + 128
const matchLengths = align + 16
const lengthTableSize = 2 + 16 * 8 + 16 * 8 + 256
const repLengths = matchLengths + lengthTableSize
const literals = repLengths + lengthTableSize
const tableSize = literals + 0x300 * 16

const lowLengths = 2
const midLengths = lowLengths + 16 * 8
const highLengths = midLengths + 16 * 8

/**
 * The LZMA decoder of the LZMA SDK's specification (lzma-specification.txt), for data that comes in chunks of known
 * input and output size. The dictionary is the tail of the output buffer.
 */
export class LzmaDecoder {
  readonly #dictionarySize: number
  readonly #window: Uint8Array
  readonly #probabilities = new Uint16Array(tableSize)
  /** Bytes written to the window, and since the dictionary was reset. */
  #position = 0
  #history = 0

  #lc = 0
  #literalMask = 0
  #positionMask = 0
  #state = 0
  #rep0 = 0
  #rep1 = 0
  #rep2 = 0
  #rep3 = 0

  #input: Uint8Array = new Uint8Array(0)
  #inputPosition = 0
  /** Unsigned 32-bit numbers held as signed ones, which the engine keeps in integer registers. */
  #range = 0
  #code = 0

  constructor(dictionarySize: number) {
    this.#dictionarySize = dictionarySize
    this.#window = new Uint8Array(dictionarySize + Math.max(dictionarySize, 2 * largestOutput))
  }

  resetDictionary(): void {
    this.#position = 0
    this.#history = 0
  }

  resetState(): void {
    this.#probabilities.fill(initialProbability)
    this.#state = 0
    this.#rep0 = this.#rep1 = this.#rep2 = this.#rep3 = 0
  }

  /** Takes lc, lp and pb from their byte; false when it is out of range. */
  setProperties(byte: number): boolean {
    const lc = byte % 9
    const lp = Math.floor(byte / 9) % 5
    const pb = Math.floor(byte / 45)
    if (pb > 4 || lc + lp > 4) return false
    this.#lc = lc
    this.#literalMask = (1 << lp) - 1
    this.#positionMask = (1 << pb) - 1
    return true
  }

  /** Appends plain bytes to the output. */
  copy(bytes: Uint8Array): Uint8Array {
    this.#makeRoom(bytes.length)
    const start = this.#position
    this.#window.set(bytes, start)
    this.#position += bytes.length
    this.#history += bytes.length
    return this.#window.subarray(start, this.#position)
  }

  /** Decodes exactly `size` bytes from all of `input` between `start` and `end`; undefined when it is corrupt. */
  decode(input: Uint8Array, start: number, end: number, size: number): Uint8Array | undefined {
    this.#makeRoom(size)
    if (end - start < 5 || input[start] !== 0) return undefined
    this.#input = input
    this.#range = -1
    this.#code = 0
    for (let index = 1; index < 5; index++) this.#code = (this.#code << 8) | (input[start + index] as number)
    this.#inputPosition = start + 5
    const from = this.#position
    if (!this.#run(from + size)) return undefined
    // The encoder flushes so that a whole chunk leaves nothing behind.
    if (this.#inputPosition !== end || this.#code !== 0) return undefined
    this.#history += size
    return this.#window.subarray(from, from + size)
  }

  #makeRoom(size: number): void {
    if (this.#position + size <= this.#window.length) return
    const kept = Math.min(this.#history, this.#dictionarySize, this.#position)
    this.#window.copyWithin(0, this.#position - kept, this.#position)
    this.#position = kept
  }

  /** Decodes up to position `end` of the window; false for a reference outside of it or an end mark. */
  #run(end: number): boolean {
    const window = this.#window
    const start = this.#position
    const historyBefore = this.#history
    while (this.#position < end) {
      const total = historyBefore + this.#position - start
      const positionState = total & this.#positionMask
      if (this.#bit(isMatch + this.#state * 16 + positionState) === 0) {
        window[this.#position] = this.#literal(total)
        this.#position++
        continue
      }
      const length = this.#match(positionState)
      if (length === 0) continue
      const distance = this.#rep0 + 1
      const reach = Math.min(historyBefore + this.#position - start, this.#dictionarySize)
      if (distance > reach || this.#position + length > end) return false
      let from = this.#position - distance
      const to = this.#position + length
      for (let at = this.#position; at < to; at++) window[at] = window[from++] as number
      this.#position = to
    }
    this.#normalize()
    return this.#position === end
  }

  #literal(total: number): number {
    const window = this.#window
    const previous = total === 0 ? 0 : (window[this.#position - 1] as number)
    const context = ((total & this.#literalMask) << this.#lc) + (previous >> (8 - this.#lc))
    const base = literals + 0x300 * context
    const state = this.#state
    this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
    if (state < 7) return this.#tree(base, 8)
    return this.#matchedLiteral(base, window[this.#position - this.#rep0 - 1] ?? 0)
  }

  /** A literal after a match, coded by what stands at the last distance as long as it agrees with that. */
  #matchedLiteral(base: number, matched: number): number {
    let symbol = 1
    let rest = matched
    while (symbol < 0x100) {
      const matchBit = (rest >> 7) & 1
      rest <<= 1
      const bit = this.#bit(base + ((1 + matchBit) << 8) + symbol)
      symbol = (symbol << 1) | bit
      if (matchBit !== bit) break
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(base + symbol)
    return symbol & 0xff
  }

  /** Decodes a match's distance into rep0 and gives its length; a short repetition has length 1. */
  #match(positionState: number): number {
    const state = this.#state
    if (this.#bit(isRep + state) === 0) {
      this.#rep3 = this.#rep2
      this.#rep2 = this.#rep1
      this.#rep1 = this.#rep0
      const length = this.#length(matchLengths, positionState)
      this.#state = state < 7 ? 7 : 10
      this.#rep0 = this.#distance(length)
      return length
    }
    if (this.#bit(isRepG0 + state) === 0) {
      if (this.#bit(isRep0Long + state * 16 + positionState) === 0) {
        this.#state = state < 7 ? 9 : 11
        return 1
      }
    } else {
      this.#takeRepetition(state)
    }
    this.#state = state < 7 ? 8 : 11
    return this.#length(repLengths, positionState)
  }

  #takeRepetition(state: number): void {
    let distance = this.#rep1
    if (this.#bit(isRepG1 + state) !== 0) {
      if (this.#bit(isRepG2 + state) === 0) {
        distance = this.#rep2
      } else {
        distance = this.#rep3
        this.#rep3 = this.#rep2
      }
      this.#rep2 = this.#rep1
    }
    this.#rep1 = this.#rep0
    this.#rep0 = distance
  }

  #length(base: number, positionState: number): number {
    if (this.#bit(base) === 0) return 2 + this.#tree(base + lowLengths + positionState * 8, 3)
    if (this.#bit(base + 1) === 0) return 10 + this.#tree(base + midLengths + positionState * 8, 3)
    return 18 + this.#tree(base + highLengths, 8)
  }

  #distance(length: number): number {
    const slot = this.#tree(slots + Math.min(length - 2, 3) * 64, 6)
    if (slot < 4) return slot
    const directBits = (slot >> 1) - 1
    const base = (2 | (slot & 1)) * 2 ** directBits
    if (slot < 14) return base + this.#reverseTree(specials + base - slot, directBits)
    return base + this.#direct(directBits - 4) * 16 + this.#reverseTree(align, 4)
  }

  /** As {@link #bit} for each bit, with the coder's state in locals: most of all time is spent here. */
  #tree(base: number, bits: number): number {
    const probabilities = this.#probabilities
    const input = this.#input
    let position = this.#inputPosition
    let range = this.#range
    let code = this.#code
    let node = 1
    for (let index = 0; index < bits; index++) {
      if ((range & topByte) === 0) {
        range <<= 8
        code = (code << 8) | (input[position++] ?? 0)
      }
      const probability = probabilities[base + node] as number
      const bound = Math.imul(range >>> 11, probability)
      if ((code ^ signBit) < (bound ^ signBit)) {
        range = bound
        probabilities[base + node] = probability + ((2048 - probability) >> 5)
        node <<= 1
      } else {
        range = (range - bound) | 0
        code = (code - bound) | 0
        probabilities[base + node] = probability - (probability >> 5)
        node = (node << 1) | 1
      }
    }
    this.#inputPosition = position
    this.#range = range
    this.#code = code
    return node - (1 << bits)
  }

  #reverseTree(base: number, bits: number): number {
    let node = 1
    let value = 0
    for (let index = 0; index < bits; index++) {
      const bit = this.#bit(base + node)
      node = (node << 1) | bit
      value |= bit << index
    }
    return value
  }

  #direct(bits: number): number {
    let value = 0
    for (let index = 0; index < bits; index++) {
      this.#normalize()
      this.#range >>>= 1
      const bit = (this.#code ^ signBit) >= (this.#range ^ signBit) ? 1 : 0
      if (bit === 1) this.#code = (this.#code - this.#range) | 0
      value = (value << 1) | bit
    }
    return value
  }

  #bit(index: number): number {
    this.#normalize()
    const probability = this.#probabilities[index] as number
    const bound = Math.imul(this.#range >>> 11, probability)
    if ((this.#code ^ signBit) < (bound ^ signBit)) {
      this.#range = bound
      this.#probabilities[index] = probability + ((2048 - probability) >> 5)
      return 0
    }
    this.#range = (this.#range - bound) | 0
    this.#code = (this.#code - bound) | 0
    this.#probabilities[index] = probability - (probability >> 5)
    return 1
  }

  #normalize(): void {
    if ((this.#range & topByte) !== 0) return
    this.#range <<= 8
    // Past the end of a corrupt chunk the position runs on, which decode() notices.
    this.#code = (this.#code << 8) | (this.#input[this.#inputPosition++] ?? 0)
  }
}
