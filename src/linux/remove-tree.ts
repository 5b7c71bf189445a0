import { listOpenDirectory } from './directories.ts'
import { SystemCallError, errno, isErrno } from './errno.ts'
import { fstat, tryLstat } from './file-status.ts'
import { AT_FDCWD, close, openAt2, openFlags, resolveFlags } from './files.ts'
import { removeDirectoryAt, unlinkAt } from './names.ts'

/** One directory on the way down: its own name, what is left to remove in it, and what it must be found to be again. */
interface Level {
  readonly name: string
  readonly names: string[]
  readonly identity: string
}

/** How often a removal begins anew because another process removed the very directory that it was in. */
const attempts = 100

/**
 * Removes `path` and all below it; nothing happens when there is nothing. Follows no symlink and enters no other
 * mount: a mount point inside fails with EXDEV (also for a bind mount) and its content is left alone. Any depth. Several
 * processes may remove the same tree at once. Throws SystemCallError.
 */
export function removeTree(path: string): void {
  for (let attempt = 1; ; attempt++)
    try {
      return removeOnce(path)
    } catch (error) {
      if (!isGone(error) || attempt === attempts) throw error
    }
}

function removeOnce(path: string): void {
  const status = tryLstat(path)
  if (status === undefined) return
  if (status.type !== 'directory') {
    unlinkAt(AT_FDCWD, path)
    return
  }
  let fd = openDirectory(AT_FDCWD, path, path, 0)
  const levels: Level[] = [readLevel(fd, path, path)]
  try {
    for (;;) {
      const level = levels.at(-1) as Level
      const next = removeNames(fd, level, path)
      if (next !== undefined) {
        const child = unlessGone(() => openDirectory(fd, next, path, resolveFlags.NO_XDEV | resolveFlags.NO_SYMLINKS))
        if (child === undefined) continue
        close(fd)
        fd = child
        levels.push(readLevel(fd, next, path))
        continue
      }
      levels.pop()
      const parent = levels.at(-1)
      if (parent === undefined) break
      fd = reopenParent(fd, parent, path)
      unlessGone(() => removeDirectoryAt(fd, level.name))
    }
  } finally {
    close(fd)
  }
  unlessGone(() => removeDirectoryAt(AT_FDCWD, path))
}

/** What `action` gives; undefined where what it is about was removed by another process. */
function unlessGone<Result>(action: () => Result): Result | undefined {
  try {
    return action()
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

function isGone(error: unknown): boolean {
  return isErrno(error, errno.ENOENT)
}

/** Removes names until one turns out to be a directory with content, and gives that one. */
function removeNames(fd: number, level: Level, path: string): string | undefined {
  for (;;) {
    const name = level.names.pop()
    if (name === undefined) return undefined
    try {
      unlinkAt(fd, name)
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
      if (error.errno === errno.ENOENT) continue
      if (error.errno === errno.EISDIR || error.errno === errno.EPERM) return name
      throw new SystemCallError('unlink', error.errno, `${name} in ${path}`, { cause: error })
    }
  }
}

function readLevel(fd: number, name: string, path: string): Level {
  const names = listOpenDirectory(fd, path).map((entry) => entry.name)
  return { name, names, identity: identityOf(fd) }
}

function identityOf(fd: number): string {
  const status = fstat(fd)
  return `${status.device}:${status.inode}`
}

/** Only one descriptor is open at a time, so depth is not bounded; `..` must lead back to where we came from. */
function reopenParent(fd: number, parent: Level, path: string): number {
  const up = openDirectory(fd, '..', path, resolveFlags.NO_XDEV)
  if (identityOf(up) === parent.identity) {
    close(fd)
    return up
  }
  close(up)
  throw new SystemCallError('rmdir', errno.EBUSY, `${path}: a directory in it was moved away while it was removed`)
}

function openDirectory(directory: number, name: string, path: string, resolve: number): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = openFlags
  const fd = openAt2(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve)
  if (fd < 0) throw new SystemCallError('open', -fd, name === path ? path : `${name} in ${path}`)
  return fd
}
