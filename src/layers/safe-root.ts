import { SystemCallError, errno } from '../linux/errno.ts'
import { AT_FDCWD, close, openAt2, openFlags, resolveFlags } from '../linux/files.ts'

const cacheSize = 16

/**
 * A directory that untrusted paths are resolved inside of: each time by openat2(2) with RESOLVE_IN_ROOT, so that `..`
 * and symlinks, absolute ones too, lead nowhere else, whatever the tree below looks like or becomes meanwhile.
 * Must be closed.
 */
export class SafeRoot {
  readonly #fd: number
  readonly #resolve: number
  /** Directories asked for lately, the latest last. */
  readonly #cache = new Map<string, number>()

  /** Symlinks below are followed `inside` of it, or `refused`. Throws SystemCallError when `path` is no directory. */
  constructor(path: string, symlinks: 'inside' | 'refused' = 'inside') {
    const { IN_ROOT, BENEATH, NO_MAGICLINKS, NO_SYMLINKS } = resolveFlags
    this.#resolve = symlinks === 'inside' ? IN_ROOT | NO_MAGICLINKS : BENEATH | NO_SYMLINKS
    this.#fd = openDirectory(AT_FDCWD, path, 0)
    if (this.#fd < 0) throw new SystemCallError('open', -this.#fd, path)
  }

  close(): void {
    this.forget()
    close(this.#fd)
  }

  /** To be called after a directory or symlink was replaced: earlier resolutions may be wrong, their descriptors close. */
  forget(): void {
    for (const fd of this.#cache.values()) close(fd)
    this.#cache.clear()
  }

  /**
   * File descriptor (O_PATH) of the directory `path` (cleaned; `''` is the root), valid until {@link forget} or several
   * further calls; undefined when there is none, or just a loop of symlinks or a refused one. Throws SystemCallError.
   */
  directory(path: string): number | undefined {
    if (path === '') return this.#fd
    const cached = this.#cache.get(path)
    if (cached !== undefined) return cached
    const fd = openDirectory(this.#fd, path, this.#resolve)
    if (fd >= 0) return this.#remember(path, fd)
    if (fd === -errno.ENOENT || fd === -errno.ENOTDIR || fd === -errno.ELOOP) return undefined
    throw new SystemCallError('openat2', -fd, path)
  }

  #remember(path: string, fd: number): number {
    if (this.#cache.size >= cacheSize) {
      const [oldest] = this.#cache
      if (oldest !== undefined) {
        this.#cache.delete(oldest[0])
        close(oldest[1])
      }
    }
    this.#cache.set(path, fd)
    return fd
  }
}

/** A path for calls that take no descriptor: `name` (`.` for itself) in an open directory. */
export function pathAt(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`
}

function openDirectory(directory: number, path: string, resolve: number): number {
  return openAt2(directory, path, openFlags.O_PATH | openFlags.O_DIRECTORY, resolve)
}
