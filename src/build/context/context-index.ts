import type { Digest } from '../../oci/digest.ts'
import type { FileStatus } from '../../linux/file-status.ts'
import { readTextFile } from '../../linux/text-file.ts'

/** Version of the file's layout; another one is thrown away. */
const version = 2

/**
 * A file whose inode changed this recently when it was hashed is not trusted: it could have been written again within
 * the same tick of the kernel's clock. Nanoseconds.
 */
const racyNanoseconds = 50_000_000

/**
 * Name, size, seconds and nanoseconds of mtime and ctime, device, inode, whether it has no extended attribute that a build
 * copies, digest.
 */
type IndexedFile = readonly [string, number, number, number, number, number, number, string | number, 0 | 1, Digest]

/**
 * What each file of a context hashed to, with the file status it had then, kept between builds: a file whose size,
 * times and inode are unchanged is not read again. The change time cannot be set by a program, so bytes rewritten under
 * the same size and modification time are noticed.
 */
export class ContextIndex {
  readonly #path: string
  readonly #temporaryPath: () => string
  readonly #before: ReadonlyMap<string, IndexedFile>
  readonly #now = new Map<string, IndexedFile>()
  #changed = false

  private constructor(path: string, temporaryPath: () => string, before: ReadonlyMap<string, IndexedFile>) {
    this.#path = path
    this.#temporaryPath = temporaryPath
    this.#before = before
  }

  /**
   * Opens the index kept at `path`; one that is missing or damaged is empty. `temporaryPath` gives a place on the same
   * file system to write a new one to, which is removed if this process dies.
   */
  static open(path: string, temporaryPath: () => string): ContextIndex {
    return new ContextIndex(path, temporaryPath, ContextIndex.#read(path))
  }

  static #read(path: string): ReadonlyMap<string, IndexedFile> {
    try {
      const text = readTextFile(path, Number.POSITIVE_INFINITY)
      if (text === undefined) return new Map()
      const stored = JSON.parse(text) as { version: number; files: IndexedFile[] }
      if (stored.version !== version) return new Map()
      const files = new Map<string, IndexedFile>()
      for (const indexed of stored.files) files.set(indexed[0], indexed)
      return files
    } catch {
      // It only saves work: an unreadable index is the same as none.
      return new Map()
    }
  }

  /** True where the file at `name` is known by this very `status` to have no extended attribute that a build copies. */
  isPlain(name: string, status: FileStatus): boolean {
    return this.#known(name, status)?.[8] === 1
  }

  /**
   * The digest of the file at `name`, from the index where `status` shows that it is the same file, else by `hash`.
   * `isPlain` says that it was seen to have no extended attributes, which the change time covers as well.
   */
  digest(name: string, status: FileStatus, isPlain: boolean, hash: () => Digest): Digest {
    const known = this.#known(name, status)
    if (known !== undefined) return known[9]
    const hashedAt = Date.now() * 1e6
    const digest = hash()
    this.#changed = true
    const { size, mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds, device } = status
    const age = hashedAt - (ctimeSeconds * 1e9 + ctimeNanoseconds)
    if (age <= racyNanoseconds) return digest
    const times = [mtimeSeconds, mtimeNanoseconds, ctimeSeconds, ctimeNanoseconds] as const
    this.#now.set(name, [name, size, ...times, device, inodeOf(status), isPlain ? 1 : 0, digest])
    return digest
  }

  #known(name: string, status: FileStatus): IndexedFile | undefined {
    const known = this.#now.get(name) ?? this.#before.get(name)
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
    const files = [...this.#now.values()]
    for (const [name, before] of this.#before) if (!this.#now.has(name) && stillThere(name)) files.push(before)
    const temporary = this.#temporaryPath()
    await Bun.write(temporary, JSON.stringify({ version, files }))
    const { rename } = await import('../../linux/names.ts')
    rename(temporary, this.#path)
  }
}

/** As JSON can have it. */
function inodeOf({ inode }: FileStatus): string | number {
  return typeof inode === 'bigint' ? `${inode}` : inode
}
