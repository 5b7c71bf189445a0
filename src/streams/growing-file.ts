import { errno, isErrno } from '../linux/errno.ts'
import { close, open, openFlags, pread } from '../linux/files.ts'
import type { ByteSource } from './source.ts'

const pieceSize = 256 * 1024

/** How far a file is that is still being written. */
export interface GrowingFileState {
  /** Bytes that are there. */
  readonly size: number
  readonly isWhole: boolean
  readonly failure: { readonly error: unknown } | undefined
}

/** A file that another is still writing, front to back, who tells of each byte that is there for good. */
export class GrowingFile {
  /** Where it is, and where it is moved to once it is whole. */
  readonly paths: readonly string[]
  #size = 0
  #isWhole = false
  #failure: { readonly error: unknown } | undefined
  readonly #waiting = new Set<() => void>()
  readonly #watchers: ((state: GrowingFileState) => void)[] = []

  constructor(...paths: string[]) {
    this.paths = paths
  }

  /** A file of `size` bytes that is all there. */
  static whole(path: string, size: number): GrowingFile {
    const file = new GrowingFile(path)
    file.grow(size)
    file.end()
    return file
  }

  /** Tells `listener` how far the file is, now and whenever that changes. */
  watch(listener: (state: GrowingFileState) => void): void {
    this.#watchers.push(listener)
    listener(this.#state)
  }

  /** The first `size` bytes are there. */
  grow(size: number): void {
    this.#size = Math.max(this.#size, size)
    this.#wake()
  }

  /** Nothing more will come. */
  end(): void {
    this.#isWhole = true
    this.#wake()
  }

  /** Readers fail with `error` once they have read what is there. */
  fail(error: unknown): void {
    this.#failure = { error }
    this.#wake()
  }

  /** The bytes from the first to the last, waiting for those that are still to come. May be called again. */
  async *open(): ByteSource {
    while (this.#size === 0 && !this.#isOver) await this.#change()
    if (this.#size === 0) return this.#finish()
    const fd = this.#openFile()
    try {
      const buffer = new Uint8Array(new ArrayBuffer(pieceSize))
      for (let position = 0; ;) {
        if (position === this.#size) {
          if (this.#isOver) return this.#finish()
          await this.#change()
          continue
        }
        const wanted = Math.min(buffer.length, this.#size - position)
        const count = pread(fd, buffer.subarray(0, wanted), position, this.paths[0])
        if (count === 0) throw new Error(`${this.paths[0]} has fewer bytes than were told of`)
        position += count
        yield buffer.subarray(0, count)
      }
    } finally {
      close(fd)
    }
  }

  #openFile(): number {
    for (const [index, path] of this.paths.entries()) {
      try {
        return open(path, openFlags.O_RDONLY)
      } catch (error) {
        const isMoved = isErrno(error, errno.ENOENT)
        if (!isMoved || index === this.paths.length - 1) throw error
      }
    }
    throw new Error('a growing file has no path')
  }

  get #state(): GrowingFileState {
    return { size: this.#size, isWhole: this.#isWhole, failure: this.#failure }
  }

  get #isOver(): boolean {
    return this.#isWhole || this.#failure !== undefined
  }

  #finish(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
    for (const watcher of this.#watchers) watcher(this.#state)
  }
}
