import { errno, isErrno } from './errno.ts'
import { fstat } from './file-status.ts'
import { close, open, openFlags, read, write } from './files.ts'

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/**
 * The text of a small file, read by this thread: files of /proc, of mounts private to the thread and configuration.
 * Undefined where there is none. Throws SystemCallError; text past `limit` bytes (4 MiB) is cut off.
 */
export function readTextFile(path: string, limit = 4 << 20): string | undefined {
  let fd: number
  try {
    fd = open(path, openFlags.O_RDONLY)
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
  try {
    return readText(fd, limit, path)
  } catch (error) {
    // A process of /proc ended between open and read.
    if (isErrno(error, errno.ESRCH)) return undefined
    throw error
  } finally {
    close(fd)
  }
}

/** The bytes of a small file, at most `limit` of them, read by this thread. Throws SystemCallError. */
export function readSmallFile(path: string, limit: number): Uint8Array {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_NONBLOCK)
  try {
    return readRest(fd, limit, path)
  } finally {
    close(fd)
  }
}

/** The rest of the open file as text, at most `limit` bytes. */
export function readText(fd: number, limit: number, name = ''): string {
  return decoder.decode(readRest(fd, limit, name))
}

function readRest(fd: number, limit: number, name: string): Uint8Array {
  // Files of /proc say that they have none. One byte more shows the end without another buffer.
  let bytes = new Uint8Array(Math.min(Math.max(fstat(fd).size + 1, 8192), limit))
  let length = 0
  for (;;) {
    const count = read(fd, bytes.subarray(length), name)
    if (count === 0) break
    length += count
    if (length >= limit) break
    if (length === bytes.length) {
      const larger = new Uint8Array(bytes.length * 4)
      larger.set(bytes)
      bytes = larger
    }
  }
  return bytes.subarray(0, Math.min(length, limit))
}

/** Makes or replaces a file, in place and without fsync: for files that only live as long as a process. */
export function writeTextFile(path: string, text: string, mode = 0o600): void {
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_TRUNC, mode)
  try {
    write(fd, encoder.encode(text), path)
  } finally {
    close(fd)
  }
}

const pieceLength = 64 * 1024

/**
 * Makes or replaces a file as {@link writeTextFile} does, of text that is never held as a whole. The file is not touched
 * before there is much to write or {@link close} is called. To be disposed of.
 */
export class TextFileWriter implements Disposable {
  readonly #path: string
  readonly #mode: number
  #fd: number | undefined
  #text = ''

  constructor(path: string, mode = 0o600) {
    this.#path = path
    this.#mode = mode
  }

  /** Throws SystemCallError. */
  write(text: string): void {
    this.#text += text
    if (this.#text.length >= pieceLength) this.#flush()
  }

  /** Writes what is left and closes the file. Throws SystemCallError. */
  close(): void {
    this.#flush()
    this[Symbol.dispose]()
  }

  /** Closes the file as it is. */
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) close(this.#fd)
    this.#fd = undefined
  }

  #flush(): void {
    const { O_WRONLY, O_CREAT, O_TRUNC } = openFlags
    this.#fd ??= open(this.#path, O_WRONLY | O_CREAT | O_TRUNC, this.#mode)
    write(this.#fd, encoder.encode(this.#text), this.#path)
    this.#text = ''
  }
}

function isAbsence(error: unknown): boolean {
  return isErrno(error, errno.ENOENT, errno.ENOTDIR)
}
