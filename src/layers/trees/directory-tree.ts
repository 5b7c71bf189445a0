import { type DirectoryName, listDirectory } from '../../linux/directories.ts'
import { SystemCallError, errno } from '../../linux/errno.ts'
import { type FileStatus, tryLstatAt } from '../../linux/file-status.ts'
import { AT_FDCWD, close, open, openAt2, openFlags, resolveFlags } from '../../linux/files.ts'
import { readLink, readLinkAt } from '../../linux/names.ts'
import { getXattr } from '../../linux/xattrs.ts'
import { readChunks } from '../file-chunks.ts'
import { isOpaqueValue, layerXattrs } from '../layer-xattrs.ts'
import { baseName, parentPath } from '../member-path.ts'
import { pathAt } from '../safe-root.ts'
import type { LayerTree, TreeEntry } from '../tree.ts'

/**
 * The tree below `directory` as it is on this machine at the time of each call. No symlink in it is ever followed, not
 * even one that is a parent of the path. Sockets do not show. Throws SystemCallError.
 */
export function directoryTree(directory: string): LayerTree {
  return new DirectoryTree(directory)
}

/**
 * As {@link directoryTree} of an open directory, wherever that is: also in another mount namespace. It stays the
 * caller's to close.
 */
export function openedTree(directory: number): LayerTree {
  return new DirectoryTree(directory)
}

/**
 * An unpacked layer as overlayfs reads it: devices 0:0 are whiteouts, and directories with the opaque attribute hide
 * what the layers below have in them. It must not change meanwhile, as what its directories are is remembered.
 */
export function overlayTree(directory: string): LayerTree {
  return new OverlayTree(directory)
}

class DirectoryTree implements LayerTree {
  /** What paths are taken from, and what stands before them. */
  readonly #base: number
  readonly #root: string

  constructor(directory: string | number) {
    this.#base = typeof directory === 'number' ? directory : AT_FDCWD
    this.#root = typeof directory === 'number' ? '.' : realPath(directory)
  }

  lookup(path: string): TreeEntry | undefined {
    try {
      return this.within(path, (fd, name) => {
        const status = tryLstatAt(fd, name)
        return status === undefined ? undefined : entryOf(fd, name, status)
      })
    } catch (error) {
      // What is there was replaced between two looks at it.
      if (!(error instanceof SystemCallError)) throw error
      throw new SystemCallError(error.call, error.errno, `${this.#root}${path}`, { cause: error })
    }
  }

  list(path: string): readonly string[] {
    return this.names(path)
      .filter(({ type }) => type !== 'socket')
      .map(({ name }) => name)
      .sort()
  }

  *read(path: string): Generator<Uint8Array> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = openFlags
    const fd = openAt2(this.#base, this.#root + path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, resolveFlags.NO_SYMLINKS)
    if (fd < 0) throw new SystemCallError('open', -fd, this.#root + path)
    try {
      yield* readChunks(fd, path)
    } finally {
      close(fd)
    }
  }

  hides(_path: string): boolean {
    return false
  }

  whiteouts(_path: string): readonly string[] {
    return []
  }

  isImplied(_path: string): boolean {
    return false
  }

  protected names(path: string): readonly DirectoryName[] {
    return this.#withDirectory(path, (fd) => listDirectory(pathAt(fd, '.'))) ?? []
  }

  /** Calls `use` with the opened parent of `path` and the name in it; undefined when the parent is no directory. */
  protected within<Result>(path: string, use: (fd: number, name: string) => Result): Result | undefined {
    if (path === '/') return this.#withDirectory('/', (fd) => use(fd, '.'))
    return this.#withDirectory(parentPath(path) || '/', (fd) => use(fd, baseName(path)))
  }

  #withDirectory<Result>(path: string, use: (fd: number) => Result): Result | undefined {
    const host = path === '/' ? this.#root || '/' : this.#root + path
    const fd = openAt2(this.#base, host, openFlags.O_PATH | openFlags.O_DIRECTORY, resolveFlags.NO_SYMLINKS)
    if (absent.has(-fd)) return undefined
    if (fd < 0) throw new SystemCallError('open', -fd, host)
    try {
      return use(fd)
    } finally {
      close(fd)
    }
  }
}

const absent: ReadonlySet<number> = new Set([errno.ENOENT, errno.ENOTDIR, errno.ELOOP])

/**
 * What a path of a layer is: `absent`; a directory `merged` with those of the layers below or `covering` them; or
 * `blocked`: something else, a whiteout, or nothing below a covering directory.
 */
type State = 'absent' | 'merged' | 'covering' | 'blocked'

class OverlayTree extends DirectoryTree {
  readonly #states = new Map<string, State>()

  override lookup(path: string): TreeEntry | undefined {
    if (path !== '/' && !this.#isDirectory(parentPath(path) || '/')) return undefined
    const entry = super.lookup(path)
    return entry === undefined || isWhiteout(entry) ? undefined : entry
  }

  override list(path: string): readonly string[] {
    const gone = new Set(this.whiteouts(path))
    const names = this.#isDirectory(path) ? super.list(path) : []
    return gone.size === 0 ? names : names.filter((name) => !gone.has(name))
  }

  override hides(path: string): boolean {
    const state = this.#state(path)
    return state === 'covering' || state === 'blocked'
  }

  override whiteouts(path: string): readonly string[] {
    if (!this.#isDirectory(path)) return []
    return this.names(path)
      .filter(({ name, type }) => (type ?? 'character-device') === 'character-device' && this.#isWhiteout(path, name))
      .map(({ name }) => name)
  }

  #isWhiteout(directory: string, name: string): boolean {
    const entry = super.lookup(directory === '/' ? `/${name}` : `${directory}/${name}`)
    return entry !== undefined && isWhiteout(entry)
  }

  #isDirectory(path: string): boolean {
    const state = this.#state(path)
    return state === 'merged' || state === 'covering'
  }

  #state(path: string): State {
    let state = this.#states.get(path)
    if (state === undefined) this.#states.set(path, (state = this.#findState(path)))
    return state
  }

  #findState(path: string): State {
    // Overlayfs merges the roots of its layers whatever their attributes say.
    if (path === '/') return 'merged'
    const parent = this.#state(parentPath(path) || '/')
    if (parent === 'absent' || parent === 'blocked') return parent
    const own = this.within(path, (fd, name) => {
      const type = tryLstatAt(fd, name)?.type
      if (type === undefined) return 'absent'
      if (type !== 'directory') return 'blocked'
      return isOpaque(pathAt(fd, name)) ? 'covering' : 'merged'
    })
    if (parent === 'merged') return own ?? 'absent'
    return own === 'merged' || own === 'covering' ? 'covering' : 'blocked'
  }
}

function isOpaque(path: string): boolean {
  return isOpaqueValue(getXattr(path, 'trusted.overlay.opaque') ?? getXattr(path, 'user.overlay.opaque'))
}

function isWhiteout(entry: TreeEntry): boolean {
  return entry.type === 'character-device' && entry.devMajor === 0 && entry.devMinor === 0
}

function entryOf(fd: number, name: string, status: FileStatus): TreeEntry | undefined {
  const { type } = status
  if (type === 'socket') return undefined
  const isDevice = type === 'character-device' || type === 'block-device'
  return {
    type,
    mode: status.mode,
    uid: status.uid,
    gid: status.gid,
    size: type === 'file' ? status.size : 0,
    mtimeSeconds: status.mtimeSeconds,
    mtimeNanoseconds: status.mtimeNanoseconds,
    linkname: type === 'symlink' ? readLinkAt(fd, name) : '',
    devMajor: isDevice ? status.rdevMajor : 0,
    devMinor: isDevice ? status.rdevMinor : 0,
    xattrs: layerXattrs(pathAt(fd, name)),
    inode: status.nlink > 1 && type !== 'directory' ? `${status.device}:${status.inode}` : undefined,
  }
}

/** Where a directory is once all symlinks on the way to it are followed; `''` for the root of the machine. */
function realPath(directory: string): string {
  const fd = open(directory, openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    const path = readLink(`/proc/self/fd/${fd}`)
    return path === '/' ? '' : path
  } finally {
    close(fd)
  }
}
