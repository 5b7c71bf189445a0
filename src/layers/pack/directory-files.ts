import { listOpenDirectory } from '../../linux/directories.ts'
import { SystemCallError, errno } from '../../linux/errno.ts'
import { type FileStatus, lstatAt, tryLstatAt } from '../../linux/file-status.ts'
import { close, openAt, openFlags } from '../../linux/files.ts'
import { readLinkAt } from '../../linux/names.ts'
import { listXattrs } from '../../linux/xattrs.ts'
import { pathAt, SafeRoot } from '../safe-root.ts'

/**
 * Files of a directory that others may change meanwhile. Paths are relative and clean (`etc/passwd`, `''` is the
 * directory itself). No symlink is followed, on the way neither: a directory that is swapped for one is as good as gone,
 * and nothing outside is ever looked at. Where two calls are made for one path, the second may meet another file. Opened
 * by the first call; to be disposed of.
 */
export class DirectoryFiles implements Disposable {
  readonly #path: string
  #root: SafeRoot | undefined
  /** The directory asked for last, which most paths are in that come next. */
  #last: { readonly path: string; readonly fd: number } | undefined

  constructor(path: string) {
    this.#path = path === '/' ? '' : path.replace(/\/+$/, '')
  }

  [Symbol.dispose](): void {
    this.#root?.close()
    this.#root = undefined
    this.#last = undefined
  }

  /** Where `path` is, for messages. */
  hostPath(path: string): string {
    return path === '' ? this.#path || '/' : `${this.#path}/${path}`
  }

  /** Throws SystemCallError. */
  status(path: string): FileStatus {
    return this.#at(path, lstatAt)
  }

  /** Undefined where there is nothing, or no directory on the way. Throws SystemCallError. */
  tryStatus(path: string): FileStatus | undefined {
    const parent = this.#findParent(path)
    return parent === undefined ? undefined : tryLstatAt(parent, nameOf(path))
  }

  /** Names in the directory `path`, in no order. Throws SystemCallError. */
  list(path: string): string[] {
    const fd = this.#at(path, openDirectoryAt)
    try {
      return listOpenDirectory(fd, this.hostPath(path)).map(({ name }) => name)
    } finally {
      close(fd)
    }
  }

  /** Target of the symlink `path`. Throws SystemCallError. */
  link(path: string): string {
    return this.#at(path, readLinkAt)
  }

  /** Opens the file `path` to be read; the descriptor is the caller's to close. Throws SystemCallError. */
  open(path: string): number {
    return this.#at(path, openFileAt)
  }

  /** Calls `use` with the parent of `path`, opened, and the name in it; what it throws names the whole path. */
  #at<Result>(path: string, use: (directory: number, name: string) => Result): Result {
    try {
      return use(this.#parentOf(path), nameOf(path))
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
      throw new SystemCallError(error.call, error.errno, this.hostPath(path), { cause: error })
    }
  }

  /**
   * A path by which to read the extended attributes of `path` without following a symlink, valid until the next call;
   * undefined where it has none. Most have none, which the plain path tells in half the time.
   */
  xattrPath(path: string): string | undefined {
    return listXattrs(this.hostPath(path)).length === 0 ? undefined : pathAt(this.#parentOf(path), nameOf(path))
  }

  #parentOf(path: string): number {
    const parent = this.#findParent(path)
    if (parent === undefined) throw new SystemCallError('open', errno.ENOENT, this.hostPath(path))
    return parent
  }

  #findParent(path: string): number | undefined {
    const end = Math.max(path.lastIndexOf('/'), 0)
    if (this.#last?.path.length === end && path.startsWith(this.#last.path)) return this.#last.fd
    this.#root ??= new SafeRoot(this.#path || '/', 'refused')
    const parent = path.slice(0, end)
    const fd = this.#root.directory(parent)
    this.#last = fd === undefined ? undefined : { path: parent, fd }
    return fd
  }
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = openFlags

function openDirectoryAt(directory: number, name: string): number {
  return openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
}

function openFileAt(directory: number, name: string): number {
  return openAt(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
}

function nameOf(path: string): string {
  return path === '' ? '.' : path.slice(path.lastIndexOf('/') + 1)
}
