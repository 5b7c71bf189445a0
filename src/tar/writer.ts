import { CairnError } from '../errors/error.ts'
import { pread, read } from '../linux/files.ts'
import { stableBytes } from '../linux/libc.ts'
import type { TarEntry } from './entry.ts'
import { BLOCK_SIZE } from './header-block.ts'
import { formatHeaders } from './header-writer.ts'

/** Takes the archive's bytes in order, in pieces of up to 1 MiB, which are valid during the call only. */
export type TarSink = (bytes: Uint8Array) => void

const bufferSize = 1024 * 1024

/**
 * Writes an archive: for each member {@link add}, then for a file exactly its size in bytes by {@link write} or
 * {@link copyFrom}; at last {@link finish}. Everything passes through one buffer, which files are read into directly.
 * The same entries and bytes give the same archive on every machine.
 */
export class TarWriter {
  readonly #sink: TarSink
  readonly #buffer = stableBytes(bufferSize)
  #used = 0
  #flushed = 0
  #entry: TarEntry | undefined
  #contentLeft = 0

  constructor(sink: TarSink) {
    this.#sink = sink
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#flushed + this.#used
  }

  /** Where the next member begins. */
  get nextMember(): number {
    return Math.ceil(this.position / BLOCK_SIZE) * BLOCK_SIZE
  }

  /**
   * Members of another archive as they are: `length` bytes of the open file from `offset` on, both multiples of 512. Throws
   * TAR_INVALID where that ends before, SystemCallError.
   */
  copyMembers(fd: number, offset: number, length: number, name: string): void {
    this.#endMember()
    this.#entry = undefined
    for (let done = 0; done < length;) {
      if (this.#used === bufferSize) this.#flush()
      const target = this.#buffer.subarray(this.#used, Math.min(bufferSize, this.#used + length - done))
      const count = pread(fd, target, offset + done, name)
      if (count === 0) throw new CairnError('TAR_INVALID', `${name} ends in the middle of a member`)
      this.#used += count
      done += count
    }
  }

  /** Begins a member. Throws TAR_INVALID for an entry no header can describe. */
  add(entry: TarEntry): void {
    this.#endMember()
    this.#put(formatHeaders(entry))
    this.#entry = entry
    this.#contentLeft = entry.type === 'file' ? entry.size : 0
  }

  /** The next bytes of the current file. Throws FILE_CHANGED when they are more than its entry says. */
  write(bytes: Uint8Array): void {
    this.#contentLeft -= bytes.length
    if (this.#contentLeft < 0) throw this.#changed('grew')
    this.#put(bytes)
  }

  /**
   * The rest of the current file, read from `fd` at its position. `observe` sees the bytes as they pass. Throws
   * FILE_CHANGED, naming `name`, when `fd` has fewer or more bytes than the entry says.
   */
  copyFrom(fd: number, name: string, observe?: (bytes: Uint8Array) => void): void {
    for (;;) {
      if (this.#used === bufferSize) this.#flush()
      // One byte more than is left: reading it shows that the file grew, without a call of its own.
      const end = Math.min(bufferSize, this.#used + this.#contentLeft + 1)
      const target = this.#buffer.subarray(this.#used, end)
      const count = read(fd, target, name)
      if (count > this.#contentLeft) throw this.#changed('grew', name)
      if (count === 0 && this.#contentLeft > 0) throw this.#changed('shrank', name)
      if (count === 0) return
      const bytes = target.subarray(0, count)
      observe?.(bytes)
      this.#used += count
      this.#contentLeft -= count
      if (this.#contentLeft === 0 && count < target.length) return
    }
  }

  /** Writes the two closing blocks and hands the last bytes to the sink. */
  finish(): void {
    this.#endMember()
    this.#putZeros(2 * BLOCK_SIZE)
    this.#flush()
  }

  #endMember(): void {
    if (this.#contentLeft > 0) throw this.#changed('shrank')
    const rest = this.position % BLOCK_SIZE
    if (rest > 0) this.#putZeros(BLOCK_SIZE - rest)
  }

  #put(bytes: Uint8Array): void {
    if (bytes.length >= bufferSize) {
      this.#flush()
      this.#flushed += bytes.length
      this.#sink(bytes)
      return
    }
    const room = bufferSize - this.#used
    if (bytes.length > room) {
      this.#buffer.set(bytes.subarray(0, room), this.#used)
      this.#used = bufferSize
      this.#flush()
      this.#put(bytes.subarray(room))
      return
    }
    this.#buffer.set(bytes, this.#used)
    this.#used += bytes.length
  }

  #putZeros(count: number): void {
    if (this.#used + count > bufferSize) this.#flush()
    this.#buffer.fill(0, this.#used, this.#used + count)
    this.#used += count
  }

  #flush(): void {
    if (this.#used === 0) return
    this.#sink(this.#buffer.subarray(0, this.#used))
    this.#flushed += this.#used
    this.#used = 0
  }

  #changed(what: string, name = this.#entry?.path ?? ''): CairnError {
    return new CairnError('FILE_CHANGED', `${name} ${what} while it was read (${this.#entry?.size} bytes at first)`)
  }
}
