import { CairnError } from '../errors/error.ts'
import { errno, isErrno } from '../linux/errno.ts'
import { fstat } from '../linux/file-status.ts'
import { close, open, openFlags, pread, tryLock, unlock } from '../linux/files.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import type { LogEvent } from '../progress/events.ts'
import type { BuildRecord, RecordEnd, RecordHeader, RecordItem } from './record.ts'
import { endFields, eventFields, headerFields, logFields, sourceFields, wrongField } from './record-fields.ts'
import { recordVersion, trailerSize } from './record-writer.ts'

/** Longest line of a record: the Dockerfile and the end with all its steps are the long ones. */
const longestLine = 64 * 1024 * 1024
const longestHeader = 1024 * 1024
/** Output of one event at most. */
const longestOutput = 16 * 1024 * 1024
/** Milliseconds between two looks at a record that is being written. */
const pause = 50

const decoder = new TextDecoder()

/** Reads the header and the end of the record at `path`. Throws RECORD_INVALID, NOT_SUPPORTED for a newer form, RECORD_UNKNOWN. */
export function readRecord(path: string): BuildRecord {
  using file = new RecordFile(path)
  const header = file.header()
  const end = file.end()
  return { ...header, status: end?.status ?? (file.isBeingWritten() ? 'running' : 'interrupted'), end }
}

/** True while the process that writes the record at `path` lives. Throws RECORD_UNKNOWN. */
export function isBeingWritten(path: string): boolean {
  using file = new RecordFile(path)
  return file.isBeingWritten()
}

interface ReadItemsOptions {
  readonly follow?: boolean
  readonly output?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * What the record at `path` holds between header and end, as far as it was written; with `follow` on until the build
 * ends or `signal` fires. Events of output have their bytes in `data`, valid until the next one is asked for; none
 * without `output`. Throws RECORD_INVALID, RECORD_UNKNOWN, and the reason of the signal.
 */
export async function* readItems(
  path: string,
  { follow = false, output = true, signal }: ReadItemsOptions = {},
): AsyncGenerator<RecordItem> {
  using file = new RecordFile(path)
  const lines = new RecordLines(file, output)
  for (;;) {
    signal?.throwIfAborted()
    // What is written between the look at the lock and the look at the lines is found by the latter.
    const isOver = !follow || !file.isBeingWritten()
    let item = lines.next()
    for (; item !== undefined && item !== 'end'; item = lines.next()) {
      yield item
      signal?.throwIfAborted()
    }
    if (item === 'end') return
    if (isOver) {
      const rest = lines.rest()
      if (rest !== undefined) yield rest
      return
    }
    await Bun.sleep(pause)
  }
}

class RecordFile implements Disposable {
  readonly path: string
  readonly #fd: number

  constructor(path: string) {
    this.path = path
    try {
      this.#fd = open(path, openFlags.O_RDONLY)
    } catch (error) {
      if (!isErrno(error, errno.ENOENT)) throw error
      throw new CairnError('RECORD_UNKNOWN', `${path} is not there, or was removed meanwhile`, { cause: error })
    }
  }

  get size(): number {
    return fstat(this.#fd).size
  }

  /** As many of the bytes from `offset` on as are there. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(new ArrayBuffer(Math.max(0, Math.min(length, this.size - offset))))
    let done = 0
    while (done < bytes.length) {
      const count = pread(this.#fd, bytes.subarray(done), offset + done, this.path)
      if (count === 0) break
      done += count
    }
    return bytes.subarray(0, done)
  }

  header(): RecordHeader {
    const bytes = this.read(0, longestHeader)
    const end = bytes.indexOf(10)
    if (end < 0) throw this.invalid('it has no header')
    const { record, ...given } = this.parse(bytes.subarray(0, end))
    if (typeof record === 'number' && record > recordVersion)
      throw new CairnError(
        'NOT_SUPPORTED',
        `${this.path} has form ${record} of build records, newer than ${recordVersion}`,
        {
          hint: 'A newer version of Cairn reads it.',
        },
      )
    if (record !== recordVersion) throw this.invalid(`it has the form ${String(record)}, not ${recordVersion}`)
    const header = { platforms: [], buildArgs: [], tags: [], cairnVersion: '', ...given }
    this.#check('header', header, headerFields)
    return header as unknown as RecordHeader
  }

  end(): RecordEnd | undefined {
    const { size } = this
    const trailer = decoder.decode(this.read(size - trailerSize, trailerSize))
    if (size < trailerSize || !/^@\d{16}\n$/.test(trailer)) return undefined
    const offset = Number(trailer.slice(1, -1))
    if (offset >= size - trailerSize || size - offset > longestLine) throw this.invalid('its end is not where it says')
    const { end } = this.parse(this.read(offset, size - trailerSize - offset))
    if (!isJsonObject(end)) throw this.invalid('its end is not where it says')
    this.#check('end', end, endFields)
    return end as unknown as RecordEnd
  }

  /** True while the process that writes it lives. */
  isBeingWritten(): boolean {
    if (!tryLock(this.#fd, 'shared', this.path)) return true
    unlock(this.#fd, this.path)
    return false
  }

  parse(bytes: Uint8Array): Record<string, unknown> {
    let value: unknown
    try {
      value = JSON.parse(decoder.decode(bytes))
    } catch (error) {
      throw this.invalid('a line of it is no JSON', error)
    }
    if (!isJsonObject(value)) throw this.invalid('a line of it is no object')
    return value
  }

  /** What a line says, or `end` for the one that begins the end. Output has its size, and no bytes yet. */
  item(value: Readonly<Record<string, unknown>>): RecordItem | OutputLine | 'end' {
    if ('end' in value) return 'end'
    const { source, event, log } = value
    if (isJsonObject(source)) {
      this.#check('Dockerfile', source, sourceFields)
      return { kind: 'source', source: source as never }
    }
    if (isJsonObject(event)) {
      const type = String(event['type'])
      const fields = Object.hasOwn(eventFields, type) ? eventFields[type] : undefined
      if (fields === undefined) throw this.invalid('it has an event of an unknown kind')
      this.#check(type, event, fields)
      return { kind: 'event', event: event as never }
    }
    if (!isJsonObject(log)) throw this.invalid('it has a line of an unknown kind')
    const { vertex, stream, timestamp, size } = log
    this.#check('output', log, logFields)
    if (Number(size) > longestOutput) throw this.invalid('it has output of an impossible size')
    return { kind: 'output', size, event: { type: 'log', vertex, stream, timestamp } } as OutputLine
  }

  #check(what: string, value: Readonly<Record<string, unknown>>, fields: Parameters<typeof wrongField>[1]): void {
    const wrong = wrongField(value, fields)
    if (wrong !== undefined) throw this.invalid(`${what}: ${wrong} is missing or not what it has to be`)
  }

  invalid(what: string, cause?: unknown): CairnError {
    return new CairnError('RECORD_INVALID', `${this.path} is no build record: ${what}`, { cause })
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

/** A line that output follows. */
interface OutputLine {
  readonly kind: 'output'
  readonly size: number
  readonly event: Omit<LogEvent, 'data'>
}

/** The lines of a record after its header, read as they are asked for. */
class RecordLines {
  readonly #file: RecordFile
  #offset = 0
  #window = new Uint8Array(0)
  #isAfterHeader = false
  readonly #hasOutput: boolean

  constructor(file: RecordFile, hasOutput: boolean) {
    this.#file = file
    this.#hasOutput = hasOutput
  }

  /** The next item, `end` where that stands, or undefined where nothing whole is there yet. */
  next(): RecordItem | 'end' | undefined {
    if (!this.#isAfterHeader) {
      if (this.#line() === undefined) return undefined
      this.#isAfterHeader = true
    }
    const before = this.#offset
    const item = this.#item()
    if (item === undefined || item === 'end' || item.kind !== 'output') return item
    const end = this.#offset + item.size
    if (this.#file.size <= end) {
      this.#moveTo(before)
      return undefined
    }
    const data = this.#hasOutput ? this.#file.read(this.#offset, item.size) : new Uint8Array(0)
    this.#moveTo(end + 1)
    return { kind: 'event', event: { ...item.event, data } }
  }

  /** Where {@link next} gives nothing more: output of which only the beginning was written. */
  rest(): RecordItem | undefined {
    const item = this.#isAfterHeader ? this.#item() : undefined
    if (item === undefined || item === 'end' || item.kind !== 'output') return undefined
    return { kind: 'event', event: { ...item.event, data: this.#file.read(this.#offset, item.size) } }
  }

  #item(): RecordItem | OutputLine | 'end' | undefined {
    const line = this.#line()
    return line === undefined ? undefined : this.#file.item(this.#file.parse(line))
  }

  #line(): Uint8Array | undefined {
    for (let length = 64 * 1024; ; length *= 4) {
      const end = this.#window.indexOf(10)
      if (end >= 0) {
        const line = this.#window.subarray(0, end)
        this.#window = this.#window.subarray(end + 1)
        this.#offset += end + 1
        return line
      }
      if (length > longestLine) throw this.#file.invalid('a line of it is too long')
      const bytes = this.#file.read(this.#offset, length)
      if (bytes.length === this.#window.length) return undefined
      this.#window = bytes
    }
  }

  #moveTo(offset: number): void {
    const skipped = offset - this.#offset
    this.#window = skipped >= 0 && skipped <= this.#window.length ? this.#window.subarray(skipped) : new Uint8Array(0)
    this.#offset = offset
  }
}
