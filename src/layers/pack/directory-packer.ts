import { CairnError } from '../../errors/error.ts'
import type { FileStatus } from '../../linux/file-status.ts'
import { comparePaths } from '../../linux/path-bytes.ts'
import type { TarEntry } from '../../tar/entry.ts'
import { DirectoryFiles } from './directory-files.ts'
import { upperXattrs, type Xattrs } from '../layer-xattrs.ts'
import type { LayerWriter } from './layer-writer.ts'

const noXattrs = { kept: new Map<string, never>(), overlay: new Map<string, never>() }

/**
 * Writes files of one directory tree into a layer: later names of one inode become hard links. Nothing outside is read
 * whatever happens in it meanwhile. To be disposed of.
 */
export class DirectoryPacker implements Disposable {
  readonly #writer: LayerWriter
  readonly #files: DirectoryFiles
  /** Device and inode → path in the layer of the first name. */
  readonly #linked = new Map<string, string>()

  /** `root` is the directory that the layer's paths are relative to. */
  constructor(writer: LayerWriter, root: string) {
    this.#writer = writer
    this.#files = new DirectoryFiles(root)
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]()
  }

  /** As {@link upperXattrs}, of `path` of the layer (`''` is the root). */
  xattrs(path: string): { readonly kept: Xattrs; readonly overlay: Xattrs } {
    const place = this.#files.xattrPath(path)
    return place === undefined ? noXattrs : upperXattrs(place)
  }

  /** Names in the directory `path`, by their bytes. */
  list(path: string): string[] {
    return this.#files.list(path).sort(comparePaths)
  }

  status(path: string): FileStatus {
    return this.#files.status(path)
  }

  /** Adds what is at `path`, but not what is below it. Sockets are left out, as no archive can hold one. */
  add(path: string, status: FileStatus, xattrs: ReadonlyMap<string, Uint8Array>): void {
    if (status.type === 'socket') return
    const entry = this.#entryOf(path, status, xattrs)
    const files = this.#files
    if (entry.type === 'file')
      this.#writer.add(entry, { from: 'file', path: files.hostPath(path), open: () => files.open(path) })
    else this.#writer.add(entry)
  }

  #entryOf(path: string, status: FileStatus, xattrs: ReadonlyMap<string, Uint8Array>): TarEntry {
    const first = this.#firstName(path, status)
    const type = first === undefined ? status.type : 'hardlink'
    if (type === 'socket') throw new CairnError('NOT_SUPPORTED', `${path}: a socket cannot be archived`)
    const isDevice = type === 'character-device' || type === 'block-device'
    return {
      type,
      path: path === '' ? '.' : path,
      mode: status.mode,
      uid: status.uid,
      gid: status.gid,
      size: type === 'file' ? status.size : 0,
      mtimeSeconds: status.mtimeSeconds,
      mtimeNanoseconds: status.mtimeNanoseconds,
      linkname: first ?? (type === 'symlink' ? this.#files.link(path) : ''),
      devMajor: isDevice ? status.rdevMajor : 0,
      devMinor: isDevice ? status.rdevMinor : 0,
      xattrs,
    }
  }

  /** The path under which this inode was added already; remembers a first name. */
  #firstName(path: string, status: FileStatus): string | undefined {
    if (status.nlink < 2 || status.type === 'directory') return undefined
    const key = `${status.device}:${status.inode}`
    const first = this.#linked.get(key)
    if (first === undefined) this.#linked.set(key, path)
    return first
  }
}
