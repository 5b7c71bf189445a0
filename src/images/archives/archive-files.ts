import { decompress } from '../../compression/decompress.ts'
import { detectCompression } from '../../compression/detect.ts'
import type { BlobIdentity, Expected } from '../../content/blobs.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, open, openFlags, pread, read } from '../../linux/files.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { TarEntry } from '../../tar/entry.ts'
import type { TarLimits } from '../../tar/limits.ts'
import type { TarMember } from '../../tar/member.ts'
import { readMember, readTar, readTarFile } from '../../tar/reader.ts'
import type { ArchiveFile } from './archive-file.ts'
import { ArchiveSpool } from './archive-spool.ts'
import { directoryFiles } from '../layouts/directory-files.ts'

/** The files of an archive by path. To be disposed of when done. */
export interface ArchiveFiles extends Disposable {
  /** The file at `path`, links within the archive followed; undefined where there is none. */
  find(path: string): ArchiveFile | undefined
}

/** No archive of images has so many members, or such long names. */
const limits: Partial<TarLimits> = { entries: 100_000, pathLength: 1024 }
const mostLinks = 16
const pieceSize = 1024 * 1024

/**
 * Opens the archive at `path`: a tar, as it is or compressed with gzip, zstd, bzip2 or xz; or a directory with what an
 * archive would hold. One that cannot be read at any position is read once, its large files going to the store's
 * temporary directory. Throws ARCHIVE_INVALID for what is no archive.
 */
export async function openArchive(store: Store, path: string): Promise<ArchiveFiles> {
  const fd = open(path, openFlags.O_RDONLY)
  try {
    const { type } = fstat(fd)
    if (type === 'directory') {
      close(fd)
      return directoryFiles(path)
    }
    const isPlain = type === 'file' && detectCompression(headOf(fd)) === 'none'
    if (isPlain) return scanArchive(fd, path)
  } catch (error) {
    close(fd)
    throw error
  }
  try {
    return await spoolArchive(store, readToEnd(fd, path), path)
  } finally {
    close(fd)
  }
}

/** Reads an archive that comes as a stream, compressed or not. `name` names it in errors. */
export async function spoolArchive(store: Store, source: ByteSource, name: string): Promise<ArchiveFiles> {
  const members = new ArchiveMembers(name)
  const spool = new ArchiveSpool(store)
  try {
    const { imageBytes: maxBytes, ratio: maxRatio } = store.limits
    const unpacked = decompress(source, { name, maxBytes, maxRatio })
    for await (const record of readTar(unpacked, { limits, name })) {
      const { entry, member } = record
      refuseSparse(entry, member, name)
      members.add(entry, entry.type === 'file' ? await spool.keep(entry.size, record.content()) : undefined)
    }
  } catch (error) {
    spool.close()
    throw archiveError(error, name)
  }
  return { find: (path) => members.find(path), [Symbol.dispose]: () => spool.close() }
}

/** Finds the files of a plain archive; they are read where they stand. Closes `fd` in the end. */
function scanArchive(fd: number, name: string): ArchiveFiles {
  const members = new ArchiveMembers(name)
  try {
    for (const member of readTarFile(fd, { limits, name })) {
      refuseSparse(member.entry, member, name)
      members.add(member.entry, member.entry.type === 'file' ? new FileInArchive(fd, member) : undefined)
    }
  } catch (error) {
    throw archiveError(error, name)
  }
  return { find: (path) => members.find(path), [Symbol.dispose]: () => close(fd) }
}

class FileInArchive implements ArchiveFile {
  readonly #fd: number
  readonly #member: TarMember

  constructor(fd: number, member: TarMember) {
    this.#fd = fd
    this.#member = member
  }

  get size(): number {
    return this.#member.entry.size
  }

  async *read(): ByteSource {
    yield* readMember(this.#fd, this.#member)
  }

  async store(lease: Lease, expected: Expected): Promise<BlobIdentity> {
    const { digest, size = this.size } = expected
    // What is there need not be written again, unless it was damaged since.
    if (digest !== undefined && size === this.size && (await lease.claimWhole(digest))) return { digest, size }
    const ingest = lease.ingest(expected)
    try {
      for (const bytes of readMember(this.#fd, this.#member)) ingest.write(bytes)
      return await ingest.commit()
    } finally {
      ingest.abort()
    }
  }
}

/** Files and links of an archive by their paths. */
class ArchiveMembers {
  readonly #name: string
  readonly #members = new Map<string, ArchiveFile | { readonly link: string }>()

  constructor(name: string) {
    this.#name = name
  }

  add(entry: TarEntry, file: ArchiveFile | undefined): void {
    const path = cleanPath(entry.path)
    const member = file ?? linkOf(entry, path)
    if (member === undefined) return
    // Readers differ in which of two they take.
    if (this.#members.has(path)) throw invalid(this.#name, `has ${JSON.stringify(path)} twice`)
    this.#members.set(path, member)
  }

  find(path: string): ArchiveFile | undefined {
    let at = cleanPath(path)
    for (let count = 0; count <= mostLinks; count++) {
      const member = this.#members.get(at)
      if (member === undefined || !('link' in member)) return member
      at = member.link
    }
    throw invalid(this.#name, `has too many links at ${JSON.stringify(path)}`)
  }
}

function linkOf(entry: TarEntry, path: string): { readonly link: string } | undefined {
  if (entry.type === 'hardlink') return { link: cleanPath(entry.linkname) }
  if (entry.type !== 'symlink') return undefined
  const isAbsolute = entry.linkname.startsWith('/')
  return { link: cleanPath(isAbsolute ? entry.linkname : `${path}/../${entry.linkname}`) }
}

/** A path within the archive without `.`, `..` and slashes too many; `..` stops at the top. */
function cleanPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}

/** A sparse member claims any size while it brings next to nothing; image archives have none. */
function refuseSparse(entry: TarEntry, member: TarMember, name: string): void {
  const stored = member.extents.reduce((sum, { length }) => sum + length, 0)
  if (entry.type === 'file' && stored !== entry.size)
    throw invalid(name, `has the sparse file ${JSON.stringify(entry.path)}`)
}

function headOf(fd: number): Uint8Array {
  const head = new Uint8Array(new ArrayBuffer(16))
  return head.subarray(0, pread(fd, head, 0))
}

async function* readToEnd(fd: number, name: string): ByteSource {
  const buffer = new Uint8Array(new ArrayBuffer(pieceSize))
  for (;;) {
    const count = read(fd, buffer, name)
    if (count === 0) return
    yield buffer.subarray(0, count)
  }
}

function archiveError(error: unknown, name: string): unknown {
  if (isCairnError(error, 'TAR_INVALID') || isCairnError(error, 'COMPRESSION_INVALID'))
    return new CairnError('ARCHIVE_INVALID', `${name} is no archive of images: ${error.message}`, { cause: error })
  return error
}

function invalid(name: string, message: string): CairnError {
  return new CairnError('ARCHIVE_INVALID', `${name} ${message}`)
}
