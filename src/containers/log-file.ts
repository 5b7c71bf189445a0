import { fstat, tryStat } from '../linux/file-status.ts'
import { close, open, openFlags, pread } from '../linux/files.ts'

/** One write of a container to its output, or a part of a long one. */
export interface LogPiece {
  /** RFC 3339 with nanoseconds, as the monitor wrote it. */
  readonly time: string
  readonly stream: 'stdout' | 'stderr'
  /** The line ends with it; then `bytes` ends with the newline. */
  readonly isEnd: boolean
  readonly bytes: Uint8Array
}

const newline = 0x0a
const space = 0x20
/** F, in place of a P. */
const endMark = 0x46
const chunkSize = 256 << 10
/** Longest line that is held in memory; a longer one comes in several pieces. */
const longestLine = 1 << 20
const decoder = new TextDecoder()

/**
 * A log as conmon writes it: `TIME STREAM F|P TEXT` in each line, P where the container's line goes on in the next one of
 * its stream. Lines are given whole, in the order in which they ended.
 */
export class LogFile implements Disposable {
  readonly #path: string
  #fd: number | undefined
  #position = 0
  /** Lines that end before this position are left out. */
  #cut = 0
  readonly #rest = new Map<LogPiece['stream'], LogPiece>()

  /** The file need not be there yet. */
  constructor(path: string) {
    this.#path = path
  }

  /** Goes to where the last `count` lines begin. */
  seekTail(count: number): void {
    if (!this.#open()) return
    const { cut, from } = tailStart(this.#fd as number, count)
    this.#position = from
    this.#cut = cut
  }

  /** All lines that are there from the position on; with `isAll` also one at the end that has no newline. */
  *read(isAll: boolean): Generator<LogPiece> {
    do yield* this.#readFile()
    while (this.#nextFile())
    if (!isAll) return
    const rest = [...this.#rest.values()].toSorted((a, b) => (a.time < b.time ? -1 : 1))
    this.#rest.clear()
    yield* rest
  }

  *#readFile(): Generator<LogPiece> {
    if (!this.#open()) return
    let buffer = new Uint8Array(new ArrayBuffer(chunkSize))
    for (;;) {
      const count = pread(this.#fd as number, buffer, this.#position, this.#path)
      const end = buffer.subarray(0, count).lastIndexOf(newline) + 1
      if (end === 0) {
        // The line is longer than the buffer, or it is still being written.
        if (count < buffer.length) return
        buffer = new Uint8Array(new ArrayBuffer(buffer.length * 2))
        continue
      }
      const position = this.#position
      this.#position += end
      for (let at = 0; at < end;) {
        const stop = buffer.indexOf(newline, at)
        yield* this.#join(parseLine(buffer.subarray(at, stop + 1)), position + at < this.#cut)
        at = stop + 1
      }
    }
  }

  *#join(piece: LogPiece | undefined, isBeforeCut: boolean): Generator<LogPiece> {
    if (piece === undefined) return
    const before = this.#rest.get(piece.stream)
    const whole =
      before === undefined ? piece : { ...piece, time: before.time, bytes: concat(before.bytes, piece.bytes) }
    if (piece.isEnd || whole.bytes.length >= longestLine) {
      this.#rest.delete(piece.stream)
      if (!isBeforeCut) yield whole
    } else this.#rest.set(piece.stream, { ...whole, bytes: whole.bytes.slice() })
  }

  #open(): boolean {
    if (this.#fd === undefined && tryStat(this.#path) !== undefined) this.#fd = open(this.#path, openFlags.O_RDONLY)
    return this.#fd !== undefined
  }

  /** The monitor begins a new file when one has reached its size. */
  #nextFile(): boolean {
    const status = tryStat(this.#path)
    if (this.#fd === undefined || status === undefined || status.inode === fstat(this.#fd).inode) return false
    close(this.#fd)
    this.#fd = undefined
    this.#position = 0
    this.#cut = 0
    return true
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) close(this.#fd)
    this.#fd = undefined
  }
}

/** Undefined for what is no line of a log. `line` ends with its newline. */
function parseLine(line: Uint8Array): LogPiece | undefined {
  const first = line.indexOf(space)
  const second = line.indexOf(space, first + 1)
  const third = line.indexOf(space, second + 1)
  if (first < 0 || second < 0 || third < 0) return undefined
  const stream = decoder.decode(line.subarray(first + 1, second))
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  const isEnd = line[second + 1] === endMark
  const time = decoder.decode(line.subarray(0, first))
  return { time, stream, isEnd, bytes: line.subarray(third + 1, isEnd ? line.length : line.length - 1) }
}

function concat(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length)
  both.set(left)
  both.set(right, left.length)
  return both
}

/** Where to begin to read for the last lines of a log. */
interface TailStart {
  /** Lines of the container that end before this are not among the last. */
  readonly cut: number
  /** Where the first parts of those are that begin before. */
  readonly from: number
}

/** How far before the last lines the beginnings of those are looked for that came in parts between others. */
const longestReach = 1 << 20

function tailStart(fd: number, count: number): TailStart {
  const { size } = fstat(fd)
  if (count === 0) return { cut: size, from: size }
  let counted = 0
  let cut: number | undefined
  let isLast = true
  const ended = new Set<string>()
  for (const { start, end, stream, isEnd } of linesBackward(fd)) {
    if (isEnd || isLast) counted++
    isLast = false
    if (cut === undefined && counted > count) cut = end
    if (cut === undefined) continue
    if (isEnd) ended.add(stream)
    if (ended.size === 2 || cut - start > longestReach) return { cut, from: start }
  }
  return { cut: cut ?? 0, from: 0 }
}

interface LineBounds {
  readonly start: number
  readonly end: number
  readonly stream: string
  readonly isEnd: boolean
}

function* linesBackward(fd: number): Generator<LineBounds> {
  let held = new Uint8Array(0)
  for (let end = fstat(fd).size; end > 0;) {
    const start = Math.max(0, end - chunkSize)
    const text = new Uint8Array(new ArrayBuffer(end - start + held.length))
    pread(fd, text.subarray(0, end - start), start)
    text.set(held, end - start)
    let stop = text.length
    while (stop > 0) {
      const before = stop < 2 ? -1 : text.lastIndexOf(newline, stop - 2)
      if (before < 0 && start > 0) break
      yield { start: start + before + 1, end: start + stop, ...markOf(text.subarray(before + 1, stop)) }
      stop = before + 1
    }
    held = text.slice(0, stop)
    end = start
  }
}

function markOf(line: Uint8Array): Pick<LineBounds, 'stream' | 'isEnd'> {
  const first = line.indexOf(space)
  const second = line.indexOf(space, first + 1)
  return { stream: decoder.decode(line.subarray(first + 1, second)), isEnd: line[second + 1] === endMark }
}
