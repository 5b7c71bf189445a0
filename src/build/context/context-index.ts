import type { Digest } from '../../oci/digest.ts'
import type { FileStatus } from '../../linux/file-status.ts'
import { close, openFlags, tryOpen, write } from '../../linux/files.ts'
import { readTextFile, TextFileWriter } from '../../linux/text-file.ts'

/** Version of the file's layout; another one is thrown away. */
const version = 2

/**
 * A file whose inode changed this recently when it was hashed is not trusted: it could have been written again within
 * the same tick of the kernel's clock. Nanoseconds.
 */
const racyNanoseconds = 50_000_000

/** Of so many files the changes of one are written behind the others; beyond that the index is written anew. */
const filesPerChange = 16

/**
 * Name, size, seconds and nanoseconds of mtime and ctime, device, inode, whether it has no extended attribute that a build
 * copies, digest.
 */
type IndexedFile = readonly [string, number, number, number, number, number, number, string | number, 0 | 1, Digest]

/** What a file was found to be. */
interface HashedFile {
  /** Of before it was read. */
  readonly status: FileStatus
  /** Seen to have no extended attribute that a build copies, which the change time covers as well. */
  readonly isPlain: boolean
  readonly digest: Digest
}

/**
 * What each file of a context hashed to, with the file status it had then, kept between builds: a file whose size,
 * times and inode are unchanged is not read again. The change time cannot be set by a program, so bytes rewritten under
 * the same size and modification time are noticed.
 *
 * Its file has a line of JSON with all files, then a line for each that was hashed since, the last of which counts.
 */
export class ContextIndex {
  readonly #path: string
  readonly #temporaryPath: () => string
  readonly #before: ReadonlyMap<string, IndexedFile>
  /** Lines behind the first. */
  readonly #changes: number
  /** What this build hashed. */
  readonly #now = new Map<string, HashedFile>()
  #changed = false

  private constructor(path: string, temporaryPath: () => string, { files, changes }: StoredIndex) {
    this.#path = path
    this.#temporaryPath = temporaryPath
    this.#before = files
    this.#changes = changes
  }

  /**
   * Opens the index kept at `path`; one that is missing or damaged is empty. `temporaryPath` gives a place on the same
   * file system to write a new one to, which is removed if this process dies.
   */
  static open(path: string, temporaryPath: () => string): ContextIndex {
    return new ContextIndex(path, temporaryPath, readIndex(path))
  }

  /** True where the file at `name` is known by this very `status` to have no extended attribute that a build copies. */
  isPlain(name: string, status: FileStatus): boolean {
    return this.#known(name, status)?.[8] === 1
  }

  /** The digest of the file at `name`, where `status` shows that it is the same file as when it was hashed. */
  digest(name: string, status: FileStatus): Digest | undefined {
    return this.#known(name, status)?.[9]
  }

  /** Takes what the file at `name` was hashed to. `hashedAt` is when that began, in milliseconds since 1970. */
  learn(name: string, file: HashedFile, hashedAt: number): void {
    this.#changed = true
    const { ctimeSeconds, ctimeNanoseconds } = file.status
    if (hashedAt * 1e6 - (ctimeSeconds * 1e9 + ctimeNanoseconds) > racyNanoseconds) this.#now.set(name, file)
  }

  #known(name: string, status: FileStatus): IndexedFile | undefined {
    const known = this.#before.get(name)
    if (known === undefined) return undefined
    // By index: taking an array apart costs more than all the rest, and this is done for every file.
    return known[1] === status.size &&
      known[2] === status.mtimeSeconds &&
      known[3] === status.mtimeNanoseconds &&
      known[4] === status.ctimeSeconds &&
      known[5] === status.ctimeNanoseconds &&
      known[6] === status.device &&
      known[7] === inodeOf(status)
      ? known
      : undefined
  }

  /** Writes what this build learnt. Other files are kept, unless they are gone from the context. */
  async save(stillThere: (name: string) => boolean): Promise<void> {
    if (!this.#changed) return
    const changes = this.#changes + this.#now.size
    if (changes * filesPerChange <= this.#before.size && this.#append()) return
    const { rename } = await import('../../linux/names.ts')
    const temporary = this.#temporaryPath()
    using file = new TextFileWriter(temporary)
    let separator = `{"version":${version},"files":[`
    for (const indexed of this.#files(stillThere)) {
      file.write(`${separator}${JSON.stringify(indexed)}`)
      separator = ','
    }
    file.write(`${separator === ',' ? '' : separator}]}`)
    file.close()
    rename(temporary, this.#path)
  }

  /** Adds what this build learnt to the file, in one write; false where there is none. */
  #append(): boolean {
    const file = tryOpen(this.#path, openFlags.O_WRONLY | openFlags.O_APPEND)
    if (file === undefined) return false
    try {
      let lines = ''
      for (const indexed of this.#learnt()) lines += `\n${JSON.stringify(indexed)}`
      write(file, new TextEncoder().encode(lines), this.#path)
    } finally {
      close(file)
    }
    return true
  }

  *#learnt(): Generator<IndexedFile> {
    for (const [name, { status, isPlain, digest }] of this.#now) {
      const { size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds, device } = status
      const times = [mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds] as const
      yield [name, size, ...times, device, inodeOf(status), isPlain ? 1 : 0, digest]
    }
  }

  *#files(stillThere: (name: string) => boolean): Generator<IndexedFile> {
    yield* this.#learnt()
    for (const [name, before] of this.#before) if (!this.#now.has(name) && stillThere(name)) yield before
  }
}

interface StoredIndex {
  readonly files: ReadonlyMap<string, IndexedFile>
  readonly changes: number
}

/** It only saves work: an unreadable index is the same as none. */
function readIndex(path: string): StoredIndex {
  const files = new Map<string, IndexedFile>()
  try {
    const text = readTextFile(path, Number.POSITIVE_INFINITY)
    if (text === undefined) return { files, changes: 0 }
    const end = text.indexOf('\n')
    const stored = JSON.parse(end < 0 ? text : text.slice(0, end)) as { version: number; files: IndexedFile[] }
    if (stored.version !== version) return { files, changes: 0 }
    for (const indexed of stored.files) files.set(indexed[0], indexed)
    const changes = end < 0 ? [] : text.slice(end + 1).split('\n')
    for (const line of changes) takeChange(files, line)
    return { files, changes: changes.length }
  } catch {
    return { files: new Map(), changes: 0 }
  }
}

/** Takes a line behind the first, unless its writer was stopped in the middle of it. */
function takeChange(files: Map<string, IndexedFile>, line: string): void {
  let indexed: IndexedFile
  try {
    indexed = JSON.parse(line) as IndexedFile
  } catch {
    return
  }
  files.set(indexed[0], indexed)
}

/** As JSON can have it. */
function inodeOf({ inode }: FileStatus): string | number {
  return typeof inode === 'bigint' ? `${inode}` : inode
}
