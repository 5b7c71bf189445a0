import { BLOCK_SIZE } from './header-block.ts'
import { HeaderReader, padded } from './header-reader.ts'
import { type TarLimits, defaultTarLimits } from './limits.ts'
import type { Extent, TarMember } from './member.ts'

/** Told of an archive's members in order. */
export interface TarHandler {
  /** A member begins. False says that its content is not wanted: {@link content} is not called for it. */
  entry(member: TarMember): boolean
  /** Data of the current file, to stand at `offset` of it. The bytes are valid during the call only. */
  content(bytes: Uint8Array, offset: number): void
  /** All data of the current member has been given. */
  end(): void
}

/** What the next bytes are. */
type Expectation = 'headers' | 'content' | 'padding' | 'nothing'

/**
 * Reads an archive pushed in pieces of any size: ustar, pax (binary xattrs, sparse formats
 * 0.0, 0.1 and 1.0), GNU (long names, old sparse, base-256 numbers) and v7. Fails with TAR_INVALID, naming the entry
 * and its position, or LIMIT_EXCEEDED. As Go's archive/tar it takes an archive without the two closing blocks of
 * zeros, if it ends between members, and ignores what follows them.
 */
export class TarDecoder {
  readonly #handler: TarHandler
  readonly #headers: HeaderReader

  #expect: Expectation = 'headers'
  /** Bytes of a header that arrived so far, when it is split between pieces. */
  #held = new Uint8Array(2 * BLOCK_SIZE)
  #heldLength = 0
  /** Position in the archive of the next byte to be taken. */
  #position = 0

  #member: TarMember | undefined
  #isWanted = false
  #extentIndex = 0
  #extentDone = 0
  #contentLeft = 0
  #paddingLeft = 0

  /** `name` names the archive in errors. */
  constructor(handler: TarHandler, limits: Partial<TarLimits> = {}, name = 'archive') {
    this.#handler = handler
    this.#headers = new HeaderReader({ ...defaultTarLimits, ...limits }, name)
  }

  /** True once the closing blocks were seen: what follows is ignored. */
  get isAtEnd(): boolean {
    return this.#expect === 'nothing'
  }

  /** Position in the archive of the next byte that {@link push} expects. */
  get position(): number {
    return this.#position
  }

  /** How many of the bytes to come are content nobody wants, or padding: {@link skip} may stand in for them. */
  get skippable(): number {
    if (this.#expect === 'padding') return this.#paddingLeft
    if (this.#expect === 'content' && !this.#isWanted) return this.#contentLeft + this.#paddingLeft
    return 0
  }

  /** Stands for pushing all of {@link skippable}. */
  skip(): void {
    this.#position += this.skippable
    if (this.#expect === 'content') this.#endContent()
    this.#paddingLeft = 0
    this.#expect = 'headers'
  }

  /** Takes the next bytes. They may be reused afterwards. */
  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length) {
      const rest = chunk.length - offset
      let taken: number
      if (this.#expect === 'content') taken = this.#takeContent(chunk, offset, rest)
      else if (this.#expect === 'padding') taken = this.#takePadding(rest)
      else if (this.#expect === 'nothing') taken = rest
      else taken = this.#takeRecord(chunk, offset, rest)
      offset += taken
    }
  }

  /** Says that all bytes were pushed. Fails with TAR_INVALID when the archive is cut off. */
  finish(): void {
    if (this.#expect === 'nothing') return
    const isBetween = this.#expect === 'headers' && this.#heldLength === 0 && this.#headers.isBetween
    if (!isBetween) throw this.#headers.invalid('the archive is cut off', this.#member?.entry.path, this.#member)
  }

  #takePadding(rest: number): number {
    const count = Math.min(rest, this.#paddingLeft)
    this.#paddingLeft -= count
    this.#position += count
    if (this.#paddingLeft === 0) this.#expect = 'headers'
    return count
  }

  #takeContent(chunk: Uint8Array, start: number, rest: number): number {
    const count = Math.min(rest, this.#contentLeft)
    if (this.#isWanted) this.#giveContent(chunk, start, start + count)
    this.#contentLeft -= count
    this.#position += count
    if (this.#contentLeft === 0) this.#endContent()
    return count
  }

  #giveContent(chunk: Uint8Array, start: number, end: number): void {
    const extents = (this.#member as TarMember).extents
    while (start < end) {
      const extent = extents[this.#extentIndex] as Extent
      const count = Math.min(end - start, extent.length - this.#extentDone)
      if (count > 0) this.#handler.content(chunk.subarray(start, start + count), extent.offset + this.#extentDone)
      start += count
      this.#extentDone += count
      if (this.#extentDone === extent.length) {
        this.#extentIndex++
        this.#extentDone = 0
      }
    }
  }

  #endContent(): void {
    this.#contentLeft = 0
    this.#member = undefined
    this.#expect = this.#paddingLeft === 0 ? 'headers' : 'padding'
    this.#handler.end()
  }

  /** Gathers the bytes of a header, without a copy where they lie in one piece. */
  #takeRecord(chunk: Uint8Array, start: number, rest: number): number {
    const { need } = this.#headers
    if (this.#heldLength === 0 && rest >= need) {
      this.#position += need
      this.#takeWhole(chunk.subarray(start, start + need))
      return need
    }
    if (this.#held.length < need) {
      const larger = new Uint8Array(need)
      larger.set(this.#held.subarray(0, this.#heldLength))
      this.#held = larger
    }
    const count = Math.min(rest, need - this.#heldLength)
    this.#held.set(chunk.subarray(start, start + count), this.#heldLength)
    this.#heldLength += count
    this.#position += count
    if (this.#heldLength === need) {
      this.#heldLength = 0
      this.#takeWhole(this.#held.subarray(0, need))
    }
    return count
  }

  #takeWhole(bytes: Uint8Array): void {
    const result = this.#headers.take(bytes, this.#position)
    if (result === 'end') this.#expect = 'nothing'
    else if (result !== undefined) this.#beginMember(result.member, result.stored)
  }

  #beginMember(member: TarMember, stored: number): void {
    this.#member = member
    this.#extentIndex = 0
    this.#extentDone = 0
    this.#contentLeft = stored
    this.#paddingLeft = padded(stored) - stored
    this.#isWanted = this.#handler.entry(member)
    if (stored === 0) this.#endContent()
    else this.#expect = 'content'
  }
}
