import { CairnError } from '../errors/error.ts'
import { SystemCallError } from '../linux/errno.ts'
import { close, open, openFlags, tryLock, write } from '../linux/files.ts'
import { freeSpace } from '../linux/free-space.ts'
import { removeFile, rename } from '../linux/names.ts'
import type { LogEvent, ProgressEvent } from '../progress/events.ts'
import type { RecordedSource, RecordEnd, RecordHeader } from './record.ts'

/** Version of the form of records. */
export const recordVersion = 1
/** Bytes of the last line: `@`, the offset of the end in 16 digits, a line feed. */
export const trailerSize = 18
/** Events other than output wait until there are so many bytes of them, and no more than so many milliseconds. */
const waitingBytes = 16 * 1024
const longestWait = 100
/** Each time so many bytes of output were written the disk is looked at: the build needs what is left of it more. */
const outputUnseen = 4 * 1024 * 1024
const spaceLeft = 64 * 1024 * 1024

const encoder = new TextEncoder()

/**
 * Writes the record of a build while it runs. A record is lines of JSON: the header, then what happens, then the end,
 * and a last line that says where the end is. Output follows its line as it came, byte for byte. While the process lives
 * it holds the file's lock, so that others can tell a build that runs from one that was killed.
 *
 * What goes wrong does not stop the build: {@link failure} tells it.
 */
export class RecordWriter {
  readonly #path: string
  #fd: number
  #waiting: Uint8Array[] = []
  #waitingSize = 0
  #size = 0
  readonly #statuses = new Set<string>()
  #failure: SystemCallError | undefined
  #shortage: CairnError | undefined
  #outputUnseen = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /**
   * Makes the file: as `temporary`, which must not be there, and under its name when it is locked and has its header, as
   * who finds it relies on both. Throws SystemCallError.
   */
  constructor(path: string, temporary: string, header: RecordHeader) {
    this.#path = path
    this.#fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
    tryLock(this.#fd, 'exclusive', path)
    this.#line({ record: recordVersion, ...header })
    this.#flush()
    if (this.#failure === undefined) rename(temporary, path)
    else removeFile(temporary)
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  /** What kept the record from being written, or from being written whole, if something did. */
  get failure(): CairnError | undefined {
    return this.#failure ?? this.#shortage
  }

  source(source: RecordedSource): void {
    this.#line({ source })
    this.#flushSoon()
  }

  /** Takes an event. Output is in the file when this returns; of what moves on only beginning and end are kept. */
  event(event: ProgressEvent): void {
    if (event.type === 'log') {
      if (this.#shortage !== undefined) return
      this.#output(event)
      if (this.#outputUnseen >= outputUnseen) this.#lookAtDisk(event)
      return
    }
    if (event.type === 'status' && event.completed === undefined) {
      const name = `${event.vertex}\n${event.id}`
      if (this.#statuses.has(name)) return
      this.#statuses.add(name)
    }
    // A warning's file is the Dockerfile or one that it includes: many warnings would keep it many times.
    const isLong = event.type === 'warning' && event.source !== undefined
    this.#line({ event: isLong ? { ...event, source: { ...event.source, data: '' } } : event })
    if (this.#waitingSize > waitingBytes) this.#flush()
    else this.#flushSoon()
  }

  /** Writes the end and closes the file. */
  end(end: RecordEnd): void {
    const offset = this.#size + this.#waitingSize
    this.#line({ end })
    this.#wait(encoder.encode(`@${String(offset).padStart(trailerSize - 2, '0')}\n`))
    this.#flush()
    this.close()
  }

  /** Leaves the record as it is. Does nothing after {@link end}. */
  close(): void {
    clearTimeout(this.#timer)
    if (this.#fd < 0) return
    close(this.#fd)
    this.#fd = -1
  }

  #output({ data, vertex, stream, timestamp }: LogEvent): void {
    this.#line({ log: { vertex, stream, timestamp, size: data.byteLength } })
    this.#flush()
    // Not gathered with the rest: copies of a long log take time and memory.
    this.#write(data)
    this.#write(lineFeed)
    this.#outputUnseen += data.byteLength
  }

  /** Takes no more output where little space is left; the rest of the record is still written. */
  #lookAtDisk(last: LogEvent): void {
    this.#outputUnseen = 0
    if (spaceAt(this.#path) >= spaceLeft) return
    const reason = 'the disk has less than 64MB left, so what steps print is not recorded from here on'
    this.#output({ ...last, data: encoder.encode(`\n[${reason}]\n`) })
    this.#shortage = new CairnError('DISK_FULL', reason)
  }

  #line(value: object): void {
    this.#wait(encoder.encode(`${JSON.stringify(value)}\n`))
  }

  /** A step that says nothing is told of all the same, to those who follow the build and should it be killed. */
  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.#flush(), longestWait)
    this.#timer.unref()
  }

  #wait(bytes: Uint8Array): void {
    this.#waiting.push(bytes)
    this.#waitingSize += bytes.byteLength
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const bytes = this.#waiting.length === 1 ? this.#waiting[0] : Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingSize = 0
    if (bytes !== undefined) this.#write(bytes)
  }

  #write(bytes: Uint8Array): void {
    if (this.#failure !== undefined || this.#fd < 0) return
    try {
      write(this.#fd, bytes, this.#path)
      this.#size += bytes.byteLength
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
      this.#failure = error
    }
  }
}

/** Bytes; endless where it cannot be told, as of a file that somebody removed. */
function spaceAt(path: string): number {
  try {
    return freeSpace(path).bytes
  } catch (error) {
    if (error instanceof SystemCallError) return Infinity
    throw error
  }
}

const lineFeed = new Uint8Array([10])
