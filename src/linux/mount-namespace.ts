import { tryListDirectory } from './directories.ts'
import { SystemCallError } from './errno.ts'
import { close, open, openFlags } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { mount, mountError, mountFlags } from './mounts.ts'
import { readLink } from './names.ts'
import { pathArgument } from './path-arguments.ts'

const { i32, u64, ptr: pointer } = types

const libc = openLibc({
  unshare: { args: [i32], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
  chroot: { args: [pointer], returns: i32 },
  ioctl: { args: [i32, u64, pointer], returns: i32 },
})

const CLONE_NEWNS = 0x2_0000
const CLONE_FS = 0x200

let isPrivate = false
/** Descriptors of the namespace that this thread left first, whose mounts others make and see, and of its root directory there. */
let outer: Place | undefined

/** A mount namespace and the root directory that a thread has in it, which is another than the namespace's own in a chroot. */
interface Place {
  readonly namespace: number
  readonly root: number
}

function openPlace(process: number | 'thread-self'): Place {
  const namespace = open(`/proc/${process}/ns/mnt`, openFlags.O_RDONLY)
  try {
    return { namespace, root: openDirectory(`/proc/${process}/root`) }
  } catch (error) {
    close(namespace)
    throw error
  }
}

function closePlace({ namespace, root }: Place): void {
  close(namespace)
  close(root)
}

function openDirectory(path: string): number {
  return open(path, openFlags.O_PATH | openFlags.O_DIRECTORY)
}

/**
 * Moves the calling thread into a mount namespace of its own, once per process. Mounts made afterwards are seen by this
 * thread and by the children it spawns from then on, by nobody else, and the kernel drops them when the last of these
 * is gone, also after SIGKILL. Other threads stay where they were: I/O that Bun does on its thread pool
 * (`Bun.file().text()`, `fs.promises`) does *not* see these mounts, synchronous calls on this thread do. The thread's
 * working directory is its own from here on too.
 *
 * Throws NOT_ROOT without CAP_SYS_ADMIN.
 */
export function enterPrivateMounts(): void {
  if (isPrivate) return
  outer ??= openPlace('thread-self')
  if (libc.unshare(CLONE_NEWNS) !== 0) throw mountError('unshare', lastErrno(), 'the mount namespace')
  // Until this, mounts below a shared mount would still travel back to the host.
  mount('none', '/', undefined, mountFlags.MS_REC | mountFlags.MS_PRIVATE, undefined, '/ as private')
  isPrivate = true
}

/**
 * Moves the calling thread into one more mount namespace, a copy: children that it started do not see what it mounts from
 * here on. Throws NOT_ROOT without CAP_SYS_ADMIN.
 */
export function enterNewMounts(): void {
  if (!isPrivate) return enterPrivateMounts()
  const directory = openDirectory('.')
  try {
    if (libc.unshare(CLONE_NEWNS) !== 0) throw mountError('unshare', lastErrno(), 'the mount namespace')
    changeDirectory(directory)
  } finally {
    close(directory)
  }
}

const NS_GET_MNTNS_ID = 0x8008_b705
const uniqueNumber = new BigUint64Array(stableBytes(8).buffer)
const uniqueAddress = ptr(uniqueNumber)

/**
 * Identity of the mount namespace that a process is in, this thread if absent; undefined where nobody may know. Its number,
 * which another gets when it is gone, and since Linux 6.11 one that no other ever gets: `mnt:[4026531841]#1`.
 */
export function mountNamespace(pid: number | 'thread-self' = 'thread-self'): string | undefined {
  const path = `/proc/${pid}/ns/mnt`
  try {
    const number = readLink(path)
    const namespace = open(path, openFlags.O_RDONLY)
    try {
      return libc.ioctl(namespace, NS_GET_MNTNS_ID, uniqueAddress) === 0 ? `${number}#${uniqueNumber[0]}` : number
    } finally {
      close(namespace)
    }
  } catch (error) {
    if (error instanceof SystemCallError) return undefined
    throw error
  }
}

/**
 * A process that is in the mount namespace with this identity; undefined where this one may know of none. By a number alone only
 * the first process is found, which never ends: any other could be in one that got the number meanwhile, a container among them.
 */
export function processInMounts(identity: string): number | undefined {
  if (mountNamespace(1) === identity) return 1
  if (!identity.includes('#')) return undefined
  const others = tryListDirectory('/proc').map(({ name }) => Number(name))
  return others.find((pid) => Number.isInteger(pid) && mountNamespace(pid) === identity)
}

/** Moves the calling thread into the mount namespace of another process, and to its root directory. Throws SystemCallError. */
export function joinMountsOf(pid: number): void {
  // A thread that shares its root with others may not change namespaces.
  enterPrivateMounts()
  const target = openPlace(pid)
  try {
    enter(target, `into the mount namespace of process ${pid}`)
    isPrivate = false
    if (outer !== undefined) closePlace(outer)
    outer = undefined
  } finally {
    closePlace(target)
  }
}

/**
 * Calls `action`, a synchronous function, with this thread in the mount namespace in which it was before it entered private
 * mounts: there mounts are shared with those of the host where the host has them so.
 */
export function inOuterMounts<Result>(action: () => Result): Result {
  if (!isPrivate || outer === undefined) return action()
  const place = outer
  return andBack(() => {
    enter(place, 'into the mount namespace of the host')
    return action()
  })
}

/**
 * Calls `spawn` with this thread in a copy of its mount namespace in which `prepare` has changed mounts, then brings
 * the thread back. Children that `spawn` starts keep the copy; later changes on either side are not seen by the other.
 * Both functions must be synchronous. Enters private mounts first. Costs 0.15 ms.
 */
export function inMountNamespaceCopy<Result>(prepare: () => void, spawn: () => Result): Result {
  enterPrivateMounts()
  return andBack(() => {
    if (libc.unshare(CLONE_NEWNS) !== 0) throw mountError('unshare', lastErrno(), 'the mount namespace')
    prepare()
    return spawn()
  })
}

/** Calls `action`, which goes elsewhere, and brings the thread back to its mount namespace, root and working directory. */
function andBack<Result>(action: () => Result): Result {
  using opened = new DisposableStack()
  const home = opened.adopt(openPlace('thread-self'), closePlace)
  const directory = opened.adopt(openDirectory('.'), close)
  try {
    return action()
  } finally {
    comeBack(home, directory)
  }
}

function comeBack(home: Place, directory: number): void {
  // A thread that was started meanwhile shares root and working directory with this one, which setns refuses.
  if (libc.unshare(CLONE_FS) !== 0) throw mountError('unshare', lastErrno(), 'root and working directory')
  enter(home, 'back to the mount namespace of this process')
  changeDirectory(directory)
}

/** setns(2) leaves the thread in the root directory of the namespace, so its own is set again. */
function enter({ namespace, root }: Place, goal: string): void {
  if (libc.setns(namespace, CLONE_NEWNS) !== 0) throw new SystemCallError('setns', lastErrno(), goal)
  changeDirectory(root, goal)
  if (libc.chroot(pathArgument('.', 'chroot')) !== 0) throw new SystemCallError('chroot', lastErrno(), goal)
}

function changeDirectory(directory: number, goal = 'back to the working directory'): void {
  if (libc.fchdir(directory) !== 0) throw new SystemCallError('fchdir', lastErrno(), goal)
}
