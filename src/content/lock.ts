import { CairnError } from '../errors/error.ts'
import { SystemCallError, errno } from '../linux/errno.ts'
import { fstat, tryLstat } from '../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import type { Store } from './store.ts'

/** Holds among all processes that use the store, and within this one. Ends with the process. */
export interface Lock extends Disposable {
  release(): void
}

export interface LockOptions {
  readonly signal?: AbortSignal
  /** Called once, when another holds the lock and waiting begins. */
  readonly onWait?: () => void
}

/** One holder alone, or any number of those that share it. */
export type LockMode = 'exclusive' | 'shared'

/** Milliseconds between attempts: the first, and the longest. */
const firstPause = 1
const longestPause = 25

/** Takes the lock `name` if nobody has it, or if all that have it share it and `mode` is to share. */
export function tryAcquireLock(store: Store, name: string, mode: LockMode = 'exclusive'): Lock | undefined {
  // A name may be anything, so the file is called by its hash.
  const path = store.path('locks', digestHex(digestOf(name)))
  const fd = openLockFile(path)
  try {
    if (tryLock(fd, mode, path) && isStillAt(fd, path)) return heldLock(fd, path, mode)
  } catch (error) {
    close(fd)
    throw error
  }
  close(fd)
  return undefined
}

/** True while somebody holds the lock `name`, in whatever mode. Keeps nobody from taking it who could take it before. */
export function isLocked(store: Store, name: string): boolean {
  if (tryLstat(store.path('locks', digestHex(digestOf(name)))) === undefined) return false
  const lock = tryAcquireLock(store, name)
  lock?.release()
  return lock === undefined
}

/** Takes the lock `name`, waiting while another has it; the event loop goes on. Throws CANCELED when `signal` aborts. */
export async function acquireLock(store: Store, name: string, options: LockOptions = {}): Promise<Lock> {
  const { signal, onWait } = options
  for (let pause = firstPause, isFirst = true; ; pause = Math.min(pause * 2, longestPause), isFirst = false) {
    if (signal?.aborted === true) throw new CairnError('CANCELED', 'canceled while waiting for another cairn process')
    const lock = tryAcquireLock(store, name)
    if (lock !== undefined) return lock
    if (isFirst) onWait?.()
    await Bun.sleep(pause)
  }
}

/** Runs `work` while holding the lock `name`. */
export async function withLock<T>(
  store: Store,
  name: string,
  options: LockOptions,
  work: () => Promise<T> | T,
): Promise<T> {
  using _lock = await acquireLock(store, name, options)
  return await work()
}

function openLockFile(path: string): number {
  const flags = openFlags.O_RDWR | openFlags.O_CREAT
  try {
    return open(path, flags, 0o644)
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.errno !== errno.ENOENT) throw error
    makeDirectories(path.slice(0, path.lastIndexOf('/')), 0o755)
    return open(path, flags, 0o644)
  }
}

/** The last holder removes the file, so the one that was locked may no longer be the one that others will open. */
function isStillAt(fd: number, path: string): boolean {
  return tryLstat(path)?.inode === fstat(fd).inode
}

function heldLock(fd: number, path: string, mode: LockMode): Lock {
  let isHeld = true
  const release = () => {
    if (!isHeld) return
    isHeld = false
    // The file goes with its last holder; whoever shares it with others has to leave it to them.
    if (mode === 'exclusive' || tryLock(fd, 'exclusive', path)) removeFile(path)
    close(fd)
  }
  return { release, [Symbol.dispose]: release }
}
