import { SystemCallError, errno } from '../linux/errno.ts'
import { fstat } from '../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'

/**
 * One opening of the store by a living process. Its lock file `tmp/<id>.lock` is held with flock(2) as long as the
 * process lives, whatever its PID namespace, so others can tell what a dead one has left behind. Everything unfinished
 * is below `directory`.
 */
export interface Session {
  readonly id: string
  /** `tmp/<id>`, there from the start. */
  readonly directory: string
  /** A path in `directory` that nothing has. `label` is for people who look. */
  temporaryPath(label: string): string
  /** Removes what is in the directory, and the directory. Throws SystemCallError for files of other users, of a user namespace's. */
  clear(): void
  /** Removes the directory and gives the lock up. */
  end(): void
  /** Gives the lock up and leaves the rest for recovery, as if the process had died. */
  abandon(): void
}

/** Begins a session in the store's `tmp` directory. */
export function beginSession(tmp: string): Session {
  const { id, lock } = lockNew(tmp)
  const directory = `${tmp}/${id}`
  makeDirectories(directory, 0o700)
  let count = 0
  return {
    id,
    directory,
    temporaryPath: (label) => `${directory}/${++count}-${label}`,
    clear: () => removeTree(directory),
    end: () => removeSession(tmp, id, lock, removeTree),
    abandon: () => close(lock),
  }
}

function lockNew(tmp: string): { readonly id: string; readonly lock: number } {
  for (;;) {
    const id = `${process.pid}-${crypto.randomUUID().slice(0, 8)}`
    const lock = openLock(tmp, id, openFlags.O_CREAT | openFlags.O_EXCL)
    // Between open and lock another process may have taken the file for one left behind, and removed it.
    if (lock !== undefined && tryLock(lock, 'exclusive') && fstat(lock).nlink > 0) return { id, lock }
    if (lock !== undefined) close(lock)
  }
}

function openLock(tmp: string, id: string, flags: number): number | undefined {
  try {
    return open(`${tmp}/${id}.lock`, openFlags.O_RDWR | flags, 0o644)
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
    if (error.errno === errno.EEXIST) return undefined
    if (error.errno !== errno.ENOENT || (flags & openFlags.O_CREAT) === 0) throw error
    makeDirectories(tmp, 0o755)
    return undefined
  }
}

function removeSession(tmp: string, id: string, lock: number, remove: (path: string) => void): void {
  remove(`${tmp}/${id}`)
  removeFile(`${tmp}/${id}.lock`)
  close(lock)
}

/** A session whose process is gone, held so that nobody else cleans it up at the same time. */
export interface DeadSession {
  readonly id: string
  /**
   * Removes what is left of it in `tmp`, the directory by `remove`; to be called last, since it is what finds the
   * session again. Afterwards there is nothing to release, unless `remove` threw.
   */
  remove(remove: (path: string) => void): void
  /** Lets go without removing. */
  release(): void
}

/** Takes hold of the session `id` if its process is gone; undefined while it lives. */
export function seizeSession(tmp: string, id: string): DeadSession | undefined {
  let lock: number | undefined
  try {
    lock = openLock(tmp, id, openFlags.O_CREAT)
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'PERMISSION_DENIED') return undefined
    throw error
  }
  if (lock === undefined) return undefined
  const held = lock
  if (!tryLock(held, 'exclusive') || fstat(held).nlink === 0) {
    close(held)
    return undefined
  }
  return { id, remove: (remove) => removeSession(tmp, id, held, remove), release: () => close(held) }
}
