import type { Digest } from '../oci/digest.ts'
import type { FileStatus } from '../linux/file-status.ts'

/** Version of the file's layout; another one is thrown away. */
const version = 1

/**
 * A file whose inode changed this recently when it was hashed is not trusted: it could have been written again within
 * the same tick of the kernel's clock. Nanoseconds.
 */
const racyNanoseconds = 50_000_000

interface IndexedFile {
  readonly size: number
  readonly mtime: string
  readonly ctime: string
  readonly inode: string
  readonly digest: Digest
}

/**
 * What each file of a context hashed to, with the file status it had then, kept between builds: a file whose size,
 * times and inode are unchanged is not read again. The change time cannot be set by a program, so bytes rewritten under
 * the same size and modification time are noticed.
 */
export class ContextIndex {
  readonly #path: string
  readonly #before: ReadonlyMap<string, IndexedFile>
  readonly #now = new Map<string, IndexedFile>()
  #changed = false

  private constructor(path: string, before: ReadonlyMap<string, IndexedFile>) {
    this.#path = path
    this.#before = before
  }

  /** Opens the index kept at `path`; one that is missing or damaged is empty. */
  static async open(path: string): Promise<ContextIndex> {
    const file = Bun.file(path)
    if (!(await file.exists())) return new ContextIndex(path, new Map())
    try {
      const stored = (await file.json()) as {
        version: number
        files: [string, number, string, string, string, Digest][]
      }
      if (stored.version !== version) return new ContextIndex(path, new Map())
      const files = stored.files.map(
        ([name, size, mtime, ctime, inode, digest]) => [name, { size, mtime, ctime, inode, digest }] as const,
      )
      return new ContextIndex(path, new Map(files))
    } catch {
      // It only saves work: an unreadable index is the same as none.
      return new ContextIndex(path, new Map())
    }
  }

  /** The digest of the file at `name`, from the index where `status` shows that it is the same file, else by `hash`. */
  digest(name: string, status: FileStatus, hash: () => Digest): Digest {
    const mtime = `${status.mtimeSeconds}.${status.mtimeNanoseconds}`
    const ctime = `${status.ctimeSeconds}.${status.ctimeNanoseconds}`
    const inode = `${status.device}:${status.inode}`
    const known = this.#now.get(name) ?? this.#before.get(name)
    if (
      known !== undefined &&
      known.size === status.size &&
      known.mtime === mtime &&
      known.ctime === ctime &&
      known.inode === inode
    ) {
      this.#now.set(name, known)
      return known.digest
    }
    const hashedAt = Date.now() * 1e6
    const digest = hash()
    this.#changed = true
    const age = hashedAt - (status.ctimeSeconds * 1e9 + status.ctimeNanoseconds)
    if (age > racyNanoseconds) this.#now.set(name, { size: status.size, mtime, ctime, inode, digest })
    return digest
  }

  /** Writes what this build learnt. Files that it did not look at are kept, unless they are gone from the context. */
  async save(stillThere: (name: string) => boolean): Promise<void> {
    if (!this.#changed) return
    const files: [string, number, string, string, string, Digest][] = []
    for (const [name, file] of new Map([...this.#before, ...this.#now])) {
      if (!this.#now.has(name) && !stillThere(name)) continue
      files.push([name, file.size, file.mtime, file.ctime, file.inode, file.digest])
    }
    const temporary = `${this.#path}.${process.pid}`
    await Bun.write(temporary, JSON.stringify({ version, files }))
    const { rename } = await import('../linux/names.ts')
    rename(temporary, this.#path)
  }
}
