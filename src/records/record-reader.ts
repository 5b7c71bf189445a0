import { CairnError } from '../errors/error.ts'
import { fstat } from '../linux/file-status.ts'
import { close, open, openFlags, pread, tryLock, unlock } from '../linux/files.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import type { ProgressEvent } from '../progress/events.ts'
import type { BuildRecord, RecordEnd, RecordHeader, RecordItem } from './record.ts'
import { recordVersion, trailerSize } from './record-writer.ts'

/** Longest line of a record: the Dockerfile and the end with all its steps are the long ones. */
const longestLine = 64 * 1024 * 1024
const longestHeader = 1024 * 1024
/** Output of one event at most. */
const longestOutput = 16 * 1024 * 1024
/** Milliseconds between two looks at a record that is being written. */
const pause = 50

const decoder = new TextDecoder()

/** Reads the header and the end of the record at `path`. Throws RECORD_INVALID, FILE_UNKNOWN. */
export function readRecord(path: string): BuildRecord {
  using file = new RecordFile(path)
  const header = file.header()
  const end = file.end()
  return { ...header, status: end?.status ?? (file.isBeingWritten() ? 'running' : 'interrupted'), end }
}

/**
 * What the record at `path` holds between header and end, as far as it was written; with `follow` on until the build
 * ends. Events of output have their bytes in `data`, valid until the next one is asked for. Throws RECORD_INVALID.
 */
export async function* readItems(path: string, { follow = false } = {}): AsyncGenerator<RecordItem> {
  using file = new RecordFile(path)
  const lines = new RecordLines(file)
  for (;;) {
    const line = lines.next()
    if (line === undefined) {
      if (!follow) return
      // What is written between the two looks is found by the last one.
      const isOver = !file.isBeingWritten()
      const last = lines.next()
      if (last !== undefined) {
        if (last === 'end') return
        yield last
      } else if (isOver) return
      else await Bun.sleep(pause)
      continue
    }
    if (line === 'end') return
    yield line
  }
}

class RecordFile implements Disposable {
  readonly path: string
  readonly #fd: number

  constructor(path: string) {
    this.path = path
    this.#fd = open(path, openFlags.O_RDONLY)
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
    const { record, ...header } = this.parse(bytes.subarray(0, end))
    if (record !== recordVersion) throw this.invalid(`it has the form ${String(record)}, not ${recordVersion}`)
    for (const name of ['id', 'name', 'context', 'dockerfile'])
      if (typeof header[name] !== 'string') throw this.invalid(`its header has no ${name}`)
    if (!/^[a-z0-9]{25}$/.test(String(header['id']))) throw this.invalid('its id is not 25 letters and digits')
    if (typeof header['createdAt'] !== 'number') throw this.invalid('its header has no createdAt')
    return { platforms: [], buildArgs: [], tags: [], cairnVersion: '', ...header } as unknown as RecordHeader
  }

  end(): RecordEnd | undefined {
    const { size } = this
    const trailer = decoder.decode(this.read(size - trailerSize, trailerSize))
    if (size < trailerSize || !/^@\d{16}\n$/.test(trailer)) return undefined
    const offset = Number(trailer.slice(1, -1))
    if (offset >= size - trailerSize || size - offset > longestLine) throw this.invalid('its end is not where it says')
    const { end } = this.parse(this.read(offset, size - trailerSize - offset))
    if (!isJsonObject(end) || !Array.isArray(end['steps']) || typeof end['completedAt'] !== 'number')
      throw this.invalid('its end lacks steps or time')
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

  invalid(what: string, cause?: unknown): CairnError {
    return new CairnError('RECORD_INVALID', `${this.path} is no build record: ${what}`, { cause })
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

/** The lines of a record after its header, read as they are asked for. */
class RecordLines {
  readonly #file: RecordFile
  #offset = 0
  #window = new Uint8Array(0)
  #isAfterHeader = false

  constructor(file: RecordFile) {
    this.#file = file
  }

  /** The next item, `end` where that stands, or undefined where nothing whole is there yet. */
  next(): RecordItem | 'end' | undefined {
    if (!this.#isAfterHeader) {
      const header = this.#line()
      if (header === undefined) return undefined
      this.#isAfterHeader = true
    }
    const before = this.#offset
    const line = this.#line()
    if (line === undefined) return undefined
    const value = this.#file.parse(line)
    if ('end' in value) return 'end'
    if (isJsonObject(value['source'])) return { kind: 'source', source: value['source'] as never }
    if (isJsonObject(value['event'])) return { kind: 'event', event: value['event'] as never }
    const log = value['log']
    if (!isJsonObject(log)) throw this.#file.invalid('it has a line of an unknown kind')
    const size = Number(log['size'])
    if (!Number.isSafeInteger(size) || size < 0 || size > longestOutput)
      throw this.#file.invalid('it has output of an impossible size')
    const data = this.#file.read(this.#offset, size + 1)
    if (data.length < size + 1) {
      this.#moveTo(before)
      return undefined
    }
    this.#moveTo(this.#offset + size + 1)
    const event = { ...log, type: 'log', data: data.subarray(0, size) } as unknown as ProgressEvent
    return { kind: 'event', event }
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
