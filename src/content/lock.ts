import { CairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { SystemCallError, errno, isErrno } from '../linux/errno.ts'
import { fstat, tryLstat } from '../linux/file-status.ts'
import { close, ftruncate, open, openFlags, tryLock, tryOpen, write } from '../linux/files.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { readTextFile } from '../linux/text-file.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import type { Store } from './store.ts'

/** Holds among all processes that use the store, and within this one. Ends with the process. */
export interface Lock extends Disposable {
  release(): void
}

export interface LockOptions {
  readonly signal?: AbortSignal
  /**
   * Called once, when another holds the lock and waiting begins. `holder` names it: `cairn build (process 1234)`.
   * Without it the store's `tell` says so once the wait has lasted a second.
   */
  readonly onWait?: (holder: string) => void
  /** What the work under the lock is, for that message: `to unpack a layer`. */
  readonly purpose?: string
}

/** One holder alone, or any number of those that share it. */
export type LockMode = 'exclusive' | 'shared'

/** Milliseconds between attempts: the first, and the longest. */
const firstPause = 1
const longestPause = 25
/** Milliseconds after which whoever waits is told for whom. */
const patience = 1000
/** Longest text that a lock file is read for. */
const longestHolder = 200

/** Takes the lock `name` if nobody has it, or if all that have it share it and `mode` is to share. */
export function tryAcquireLock(store: Store, name: string, mode: LockMode = 'exclusive'): Lock | undefined {
  const path = pathOf(store, name)
  // By its session it is found that a process was killed; what is left of its locks goes with that.
  void store.session
  const fd = openLockFile(path)
  try {
    if (tryLock(fd, mode, path) && isStillAt(fd, path)) {
      sign(store, fd)
      return heldLock(fd, path, mode)
    }
  } catch (error) {
    close(fd)
    throw error
  }
  close(fd)
  return undefined
}

/** True while somebody holds the lock `name`, in whatever mode. Keeps nobody from taking it who could take it before. */
export function isLocked(store: Store, name: string): boolean {
  if (tryLstat(pathOf(store, name)) === undefined) return false
  const lock = tryAcquireLock(store, name)
  lock?.release()
  return lock === undefined
}

/** Takes the lock `name`, waiting while another has it; the event loop goes on. Throws CANCELED when `signal` aborts. */
export async function acquireLock(store: Store, name: string, options: LockOptions = {}): Promise<Lock> {
  const { signal, onWait, purpose } = options
  const began = performance.now()
  let isTold = false
  for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
    if (signal?.aborted === true) throw new CairnError('CANCELED', 'canceled while waiting for another cairn process')
    const lock = tryAcquireLock(store, name)
    if (lock !== undefined) return lock
    if (!isTold && (onWait !== undefined || performance.now() - began > patience)) {
      isTold = true
      const holder = holderOf(store, name)
      if (onWait !== undefined) onWait(holder)
      else store.tell(`waiting for ${holder}${purpose === undefined ? '' : ` ${purpose}`}`)
    }
    await Bun.sleep(pause)
  }
}

/** Removes the lock files that processes which were killed have left; gives how many there were. */
export function removeFreeLocks(store: Store): number {
  let count = 0
  for (const { name } of tryListDirectory(store.path('locks'))) {
    const path = store.path('locks', name)
    const fd = tryOpen(path, openFlags.O_RDWR)
    if (fd === undefined) continue
    try {
      if (!tryLock(fd, 'exclusive', path) || !isStillAt(fd, path)) continue
      removeFile(path)
      count++
    } finally {
      close(fd)
    }
  }
  return count
}

/** Who holds the lock `name`: `cairn build (process 1234)`, as far as that is known. */
function holderOf(store: Store, name: string): string {
  const text = readTextFile(pathOf(store, name), longestHolder) ?? ''
  const [, pid, command] = /^(\d{1,10}) (.*)\n$/.exec(text) ?? []
  if (pid === undefined || command === undefined) return 'another cairn process'
  return Number(pid) === process.pid ? 'another step of this command' : `${command} (process ${pid})`
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

/** A name may be anything, so the file is called by its hash. */
function pathOf(store: Store, name: string): string {
  return store.path('locks', digestHex(digestOf(name)))
}

/** Notes in the lock file who holds it. Only for messages: a disk that is full keeps nobody from the lock. */
function sign(store: Store, fd: number): void {
  try {
    ftruncate(fd, 0)
    write(fd, new TextEncoder().encode(`${process.pid} ${store.command}\n`))
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
  }
}

function openLockFile(path: string): number {
  const flags = openFlags.O_RDWR | openFlags.O_CREAT
  try {
    return open(path, flags, 0o644)
  } catch (error) {
    if (!isErrno(error, errno.ENOENT)) throw error
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
