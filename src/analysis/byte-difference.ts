/** Where two files begin to differ. */
export interface ByteDifference {
  /** Bytes from the start. */
  readonly offset: number
  /** Some bytes of each from a little before `offset` on; one of them may end there. */
  readonly from: Uint8Array
  readonly to: Uint8Array
  /** How many bytes of the two stand before `offset`. */
  readonly lead: number
}

/** Bytes shown before and from the first that differs. */
const leadBytes = 24
const tailBytes = 40

/** The first byte in which two files differ, undefined where they have the same bytes, in whatever pieces they come. */
export function firstDifference(from: Iterable<Uint8Array>, to: Iterable<Uint8Array>): ByteDifference | undefined {
  const [one, other] = [new Window(from), new Window(to)]
  try {
    for (;;) {
      const count = Math.min(one.fill(), other.fill())
      const same = commonLength(one.bytes, other.bytes, count)
      if (same < count || (count === 0 && one.bytes.length !== other.bytes.length)) {
        one.take(same)
        other.take(same)
        return { offset: one.offset, from: one.surroundings(), to: other.surroundings(), lead: one.lead }
      }
      if (count === 0) return undefined
      one.take(count)
      other.take(count)
    }
  } finally {
    one.end()
    other.end()
  }
}

function commonLength(a: Uint8Array, b: Uint8Array, count: number): number {
  if (Buffer.compare(a.subarray(0, count), b.subarray(0, count)) === 0) return count
  let same = 0
  while (a[same] === b[same]) same++
  return same
}

/** A file as it is read, with some of what went by. */
class Window {
  readonly #source: Iterator<Uint8Array>
  #bytes: Uint8Array = new Uint8Array(0)
  #before: Uint8Array = new Uint8Array(0)
  #offset = 0

  constructor(source: Iterable<Uint8Array>) {
    this.#source = source[Symbol.iterator]()
  }

  /** What was read and not taken yet. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  get offset(): number {
    return this.#offset
  }

  get lead(): number {
    return this.#before.length
  }

  /** Reads on where nothing is left; gives how many bytes there are then, 0 at the end. */
  fill(): number {
    while (this.#bytes.length === 0 && this.#more());
    return this.#bytes.length
  }

  take(count: number): void {
    const taken = Buffer.concat([this.#before, this.#bytes.subarray(Math.max(0, count - leadBytes), count)])
    this.#before = taken.subarray(Math.max(0, taken.length - leadBytes))
    this.#bytes = this.#bytes.subarray(count)
    this.#offset += count
  }

  surroundings(): Uint8Array {
    while (this.#bytes.length < tailBytes && this.#more());
    return Buffer.concat([this.#before, this.#bytes.subarray(0, tailBytes)])
  }

  end(): void {
    this.#source.return?.()
  }

  #more(): boolean {
    const next = this.#source.next()
    if (next.done === true) return false
    this.#bytes = Buffer.concat([this.#bytes, next.value])
    return true
  }
}
