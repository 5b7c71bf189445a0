import { fstat } from '../linux/file-status.ts'
import { close, open, openFlags, pread } from '../linux/files.ts'
import { stableBytes } from '../linux/libc.ts'
import type { ByteSource } from '../streams/source.ts'
import { TarDecoder } from './decoder.ts'
import type { TarEntry } from './entry.ts'
import type { TarLimits } from './limits.ts'
import type { TarMember } from './member.ts'

export interface ReadTarOptions {
  readonly limits?: Partial<TarLimits>
  /** Names the archive in errors; a path stands for itself. */
  readonly name?: string
}

/** One member of an archive that is read as a stream. */
export interface TarRecord {
  readonly entry: TarEntry
  readonly member: TarMember
  /** The file's bytes, holes as zeros. To be read before the next record is asked for, or not at all. */
  content(): AsyncGenerator<Uint8Array>
}

type Event = TarMember | { readonly bytes: Uint8Array; readonly offset: number } | 'end'

const zeros = new Uint8Array(64 * 1024)

/**
 * Members of the archive in `source`, in order. Fails with TAR_INVALID or LIMIT_EXCEEDED; errors of the source pass
 * through. Reads `source` to its end, past the archive's closing blocks, so that a digest over it is complete.
 */
export async function* readTar(source: ByteSource, options: ReadTarOptions = {}): AsyncGenerator<TarRecord> {
  const events = tarEvents(source, options)
  try {
    for (;;) {
      const next = await events.next()
      if (next.done === true) return
      const event = next.value
      if (event !== 'end' && 'entry' in event) {
        yield { entry: event.entry, member: event, content: () => contentOf(events, event.entry.size) }
      }
    }
  } finally {
    await events.return()
  }
}

async function* tarEvents(source: ByteSource, options: ReadTarOptions): AsyncGenerator<Event, void> {
  let events: Event[] = []
  const decoder = new TarDecoder(
    {
      entry: (member) => events.push(member) > 0,
      content: (bytes, offset) => void events.push({ bytes, offset }),
      end: () => void events.push('end'),
    },
    options.limits,
    options.name,
  )
  for await (const chunk of source) {
    decoder.push(chunk)
    yield* events
    events = []
  }
  decoder.finish()
  yield* events
}

async function* contentOf(events: AsyncGenerator<Event, void>, size: number): AsyncGenerator<Uint8Array> {
  let position = 0
  for (;;) {
    const next = await events.next()
    if (next.done === true || next.value === 'end') break
    if ('entry' in next.value) throw new Error('the content of an archive member was asked for too late')
    yield* zerosFor(next.value.offset - position)
    yield next.value.bytes
    position = next.value.offset + next.value.bytes.length
  }
  yield* zerosFor(size - position)
}

/**
 * Members of an archive that can be read at any position: a path, a file descriptor (its position is not moved) or
 * bytes. Content is skipped, not read; {@link readMember} gets it. Fails with TAR_INVALID, LIMIT_EXCEEDED or a
 * SystemCallError.
 */
export function* readTarFile(
  archive: string | number | Uint8Array,
  options: ReadTarOptions = {},
): Generator<TarMember> {
  if (typeof archive !== 'string') {
    yield* scan(archive, options)
    return
  }
  const fd = open(archive, openFlags.O_RDONLY)
  try {
    yield* scan(fd, { name: archive, ...options })
  } finally {
    close(fd)
  }
}

/** A window small enough not to read much of the files between headers, large enough to take many small ones at once. */
const windowSize = 128 * 1024

function* scan(archive: number | Uint8Array, options: ReadTarOptions): Generator<TarMember> {
  let members: TarMember[] = []
  const decoder = new TarDecoder(
    { entry: (member) => members.push(member) < 0, content: () => {}, end: () => {} },
    options.limits,
    options.name,
  )
  const size = typeof archive === 'number' ? fstat(archive).size : archive.length
  const window = typeof archive === 'number' ? stableBytes(windowSize) : undefined
  while (decoder.position < size && !decoder.isAtEnd) {
    const chunk = readWindow(archive, window, decoder.position)
    if (chunk.length === 0) break
    decoder.push(chunk)
    yield* members
    members = []
    if (decoder.skippable > 0 && decoder.position + decoder.skippable <= size) decoder.skip()
  }
  decoder.finish()
}

function readWindow(archive: number | Uint8Array, window: Uint8Array | undefined, position: number): Uint8Array {
  if (typeof archive !== 'number') return archive.subarray(position, position + windowSize)
  const target = window as Uint8Array
  return target.subarray(0, pread(archive, target, position))
}

const contentSize = 1024 * 1024

/**
 * Bytes of a member's file, holes as zeros, read from the archive they were scanned from. Each piece is valid until the
 * next one is asked for. Throws SystemCallError; TAR_INVALID cannot happen as the scan has seen the archive's size.
 */
export function* readMember(archive: number | Uint8Array, member: TarMember): Generator<Uint8Array> {
  const buffer =
    typeof archive === 'number' ? stableBytes(Math.min(contentSize, Math.max(member.entry.size, 1))) : zeros
  let offset = 0
  for (const extent of member.extents) {
    yield* zerosFor(extent.offset - offset)
    offset = extent.offset + extent.length
    if (typeof archive !== 'number') {
      yield archive.subarray(extent.position, extent.position + extent.length)
      continue
    }
    for (let done = 0; done < extent.length;) {
      const wanted = buffer.subarray(0, Math.min(buffer.length, extent.length - done))
      const count = pread(archive, wanted, extent.position + done, member.entry.path)
      if (count === 0) throw new Error(`${member.entry.path}: the archive became shorter while it was read`)
      yield wanted.subarray(0, count)
      done += count
    }
  }
  yield* zerosFor(member.entry.size - offset)
}

function* zerosFor(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= zeros.length) yield left < zeros.length ? zeros.subarray(0, left) : zeros
}
