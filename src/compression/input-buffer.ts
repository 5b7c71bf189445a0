import type { ByteSource } from '../streams/source.ts'

/** Bytes of a source gathered so that a decoder finds a whole unit of its format in one piece. */
export class InputBuffer {
  /** Holds what is there from {@link start} to {@link end}. Replaced by {@link fill}. */
  bytes = new Uint8Array(0)
  start = 0
  end = 0
  readonly #source: AsyncIterator<Uint8Array>
  #isDrained = false

  constructor(source: ByteSource) {
    this.#source = source[Symbol.asyncIterator]()
  }

  get available(): number {
    return this.end - this.start
  }

  /** Waits until `count` bytes are there, or all of a shorter rest: then false. */
  async fill(count: number): Promise<boolean> {
    while (this.available < count && !this.#isDrained) {
      const next = await this.#source.next()
      if (next.done === true) this.#isDrained = true
      else this.#append(next.value, count)
    }
    return this.available >= count
  }

  /** Ends the source early. */
  async close(): Promise<void> {
    if (!this.#isDrained) await this.#source.return?.()
  }

  /** What is there, then the rest of the source, in pieces as they come. */
  async *rest(): ByteSource {
    if (this.available > 0) yield this.bytes.subarray(this.start, this.end)
    this.start = this.end
    for (;;) {
      const next = await this.#source.next()
      if (next.done === true) break
      yield next.value
    }
    this.#isDrained = true
  }

  #append(chunk: Uint8Array, count: number): void {
    if (this.end + chunk.length > this.bytes.length) {
      const held = this.bytes.subarray(this.start, this.end)
      const isRoomy = held.length + chunk.length <= this.bytes.length
      const target = isRoomy ? this.bytes : new Uint8Array(Math.max(2 * count, held.length + chunk.length, 65536))
      if (isRoomy) target.copyWithin(0, this.start, this.end)
      else target.set(held)
      this.bytes = target
      this.end = held.length
      this.start = 0
    }
    this.bytes.set(chunk, this.end)
    this.end += chunk.length
  }
}
