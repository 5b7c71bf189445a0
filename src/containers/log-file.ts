import { fstat } from '../linux/file-status.ts'
import { close, pread } from '../linux/files.ts'
import { type OpenGeneration, openGenerations, openNewer } from './log-generations.ts'

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
 * its stream. Lines are given whole, in the order in which they ended, from the oldest file that is kept on.
 */
export class LogFile implements Disposable {
  readonly #path: string
  #current: OpenGeneration | undefined
  #position = 0
  /** Lines that end before it are left out; undefined when it has been passed. */
  #cut: LogPosition | undefined
  readonly #rest = new Map<LogPiece['stream'], LogPiece>()

  /** The file need not be there yet. */
  constructor(path: string) {
    this.#path = path
  }

  /** Goes to where the last `count` lines begin. */
  seekTail(count: number): void {
    const files = openGenerations(this.#path)
    if (files.length === 0) return
    const { cut, from } = tailStart(files, count)
    for (const file of files) if (file.inode !== from.inode) close(file.fd)
    this.#current = files.find(({ inode }) => inode === from.inode)
    this.#position = from.offset
    this.#cut = cut
  }

  /** All lines that are there from the position on; with `isAll` also one at the end that has no newline. */
  *read(isAll: boolean): Generator<LogPiece> {
    this.#current ??= openNewer(this.#path, undefined)
    while (this.#current !== undefined) {
      yield* this.#readFile(this.#current)
      const newer = openNewer(this.#path, this.#current.inode)
      if (newer === undefined) break
      // What came while that was found out was the last.
      yield* this.#readFile(this.#current)
      this.#enter(newer)
    }
    if (!isAll) return
    const rest = [...this.#rest.values()].toSorted((a, b) => (a.time < b.time ? -1 : 1))
    this.#rest.clear()
    yield* rest
  }

  #enter(file: OpenGeneration): void {
    if (this.#current?.inode === this.#cut?.inode) this.#cut = undefined
    this[Symbol.dispose]()
    this.#current = file
    this.#position = 0
  }

  *#readFile({ fd }: OpenGeneration): Generator<LogPiece> {
    let buffer = new Uint8Array(new ArrayBuffer(chunkSize))
    for (;;) {
      const count = pread(fd, buffer, this.#position, this.#path)
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
        yield* this.#join(parseLine(buffer.subarray(at, stop + 1)), this.#isBeforeCut(position + at))
        at = stop + 1
      }
    }
  }

  #isBeforeCut(position: number): boolean {
    if (this.#cut === undefined) return false
    return this.#current?.inode !== this.#cut.inode || position < this.#cut.offset
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

  [Symbol.dispose](): void {
    if (this.#current !== undefined) close(this.#current.fd)
    this.#current = undefined
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

/** A place in one of the files of a log. */
interface LogPosition {
  readonly inode: OpenGeneration['inode']
  readonly offset: number
}

/** Where to begin to read for the last lines of a log. */
interface TailStart {
  /** Lines of the container that end before this are not among the last. */
  readonly cut: LogPosition | undefined
  /** Where the first parts of those are that begin before. */
  readonly from: LogPosition
}

/** How far before the last lines the beginnings of those are looked for that came in parts between others. */
const longestReach = 1 << 20

/** @param files - the newest first, at least one */
function tailStart(files: readonly OpenGeneration[], count: number): TailStart {
  const oldest = files.at(-1) as OpenGeneration
  if (count === 0) {
    const { fd, inode } = files[0] as OpenGeneration
    const end = { inode, offset: fstat(fd).size }
    return { cut: end, from: end }
  }
  let counted = 0
  let cut: LogPosition | undefined
  let isLast = true
  let reach = 0
  const ended = new Set<string>()
  for (const { inode, start, end, stream, isEnd } of linesBackward(files)) {
    if (isEnd || isLast) counted++
    isLast = false
    if (cut === undefined && counted > count) cut = { inode, offset: end }
    if (cut === undefined) continue
    reach += end - start
    if (isEnd) ended.add(stream)
    if (ended.size === 2 || reach > longestReach) return { cut, from: { inode, offset: start } }
  }
  return { cut, from: { inode: oldest.inode, offset: 0 } }
}

interface LineBounds {
  readonly inode: OpenGeneration['inode']
  readonly start: number
  readonly end: number
  readonly stream: string
  readonly isEnd: boolean
}

function* linesBackward(files: readonly OpenGeneration[]): Generator<LineBounds> {
  for (const { fd, inode } of files) {
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
        yield {
          inode,
          start: start + before + 1,
          end: start + stop,
          ...markOf(text.subarray(before + 1, stop)),
        }
        stop = before + 1
      }
      held = text.slice(0, stop)
      end = start
    }
  }
}

function markOf(line: Uint8Array): Pick<LineBounds, 'stream' | 'isEnd'> {
  const first = line.indexOf(space)
  const second = line.indexOf(space, first + 1)
  return { stream: decoder.decode(line.subarray(first + 1, second)), isEnd: line[second + 1] === endMark }
}
