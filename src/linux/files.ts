import { FFIType } from 'bun:ffi'
import { SystemCallError, errno, isErrno } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { pathArgument } from './path-arguments.ts'

const { i32, u32, i64, u64, ptr: pointer } = types
const size = FFIType.i64_fast

const libc = openLibc({
  openat: { args: [i32, pointer, i32, u32], returns: i32 },
  syscall: { args: [i64, i32, pointer, pointer, u64], returns: size },
  close: { args: [i32], returns: i32 },
  read: { args: [i32, pointer, u64], returns: size },
  pread: { args: [i32, pointer, u64, i64], returns: size },
  write: { args: [i32, pointer, u64], returns: size },
  pwrite: { args: [i32, pointer, u64, i64], returns: size },
  fsync: { args: [i32], returns: i32 },
  fdatasync: { args: [i32], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  ftruncate: { args: [i32, i64], returns: i32 },
  copy_file_range: { args: [i32, pointer, i32, pointer, u64, u32], returns: size },
  sync_file_range: { args: [i32, i64, i64, u32], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
})

/** The working directory in place of a directory's file descriptor. */
export const AT_FDCWD = -100

/** Flags of open(2), which differ between the architectures Bun runs on. */
const isArm = process.arch === 'arm64'
export const openFlags = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_NONBLOCK: 0o4000,
  O_DIRECTORY: isArm ? 0o40000 : 0o200000,
  O_NOFOLLOW: isArm ? 0o100000 : 0o400000,
  O_CLOEXEC: 0o2000000,
  O_PATH: 0o10000000,
  O_TMPFILE: 0o20000000 | (isArm ? 0o40000 : 0o200000),
} as const

/** Restrictions of openat2(2). */
export const resolveFlags = {
  NO_XDEV: 0x01,
  NO_MAGICLINKS: 0x02,
  NO_SYMLINKS: 0x04,
  BENEATH: 0x08,
  IN_ROOT: 0x10,
} as const

const F_GETFL = 3
const F_SETFL = 4

/** Has reads and writes wait, for all who have the same open file. Throws SystemCallError. */
export function makeBlocking(fd: number): void {
  const flags = libc.fcntl(fd, F_GETFL, 0)
  if (flags < 0 || libc.fcntl(fd, F_SETFL, flags & ~openFlags.O_NONBLOCK) < 0)
    throw new SystemCallError('fcntl', lastErrno(), `file descriptor ${fd}`)
}

/** Opens `path` with `flags` of {@link openFlags} (O_CLOEXEC is added). Throws SystemCallError. */
export function open(path: string, flags: number, mode = 0o600): number {
  return openAt(AT_FDCWD, path, flags, mode)
}

/** As {@link open}; undefined where there is nothing at `path`. */
export function tryOpen(path: string, flags: number): number | undefined {
  try {
    return open(path, flags)
  } catch (error) {
    if (isErrno(error, errno.ENOENT)) return undefined
    throw error
  }
}

/** As {@link open}, a relative path being taken from the directory `directory` (a file descriptor). */
export function openAt(directory: number, path: string, flags: number, mode = 0o600): number {
  for (;;) {
    const fd = libc.openat(directory, pathArgument(path, 'open'), flags | openFlags.O_CLOEXEC, mode)
    if (fd >= 0) return fd
    const number = lastErrno()
    if (number !== errno.EINTR) throw new SystemCallError('open', number, path)
  }
}

const howBytes = stableBytes(24)
const howAddress = ptr(howBytes)
const how = new BigUint64Array(howBytes.buffer)
const SYS_openat2 = 437

/**
 * openat2(2): as {@link openAt} with the path's resolution restricted by {@link resolveFlags}. Gives the file
 * descriptor or the negated errno, since callers tell ENOENT, ELOOP and EXDEV apart. Retries EAGAIN, which the kernel
 * gives when a rename elsewhere raced a `..` step.
 */
export function openAt2(directory: number, path: string, flags: number, resolve: number, mode = 0): number {
  how[0] = BigInt(flags | openFlags.O_CLOEXEC)
  how[1] = BigInt(mode)
  how[2] = BigInt(resolve)
  for (let attempt = 0; ; attempt++) {
    const fd = Number(libc.syscall(SYS_openat2, directory, pathArgument(path, 'openat2'), howAddress, 24))
    if (fd >= 0) return fd
    const number = lastErrno()
    if (number === errno.EINTR || (number === errno.EAGAIN && attempt < 128)) continue
    return -number
  }
}

/** Closes a file descriptor. Errors of close(2) tell nothing that can be acted on and are ignored. */
export function close(fd: number): void {
  libc.close(fd)
}

/** Reads at most `target.length` bytes at the file's position; 0 at its end. `name` names the file in the error. */
export function read(fd: number, target: Uint8Array, name = ''): number {
  if (target.length === 0) return 0
  for (;;) {
    const count = Number(libc.read(fd, target, target.length))
    if (count >= 0) return count
    const number = lastErrno()
    if (number !== errno.EINTR) throw new SystemCallError('read', number, name)
  }
}

/** Reads at most `target.length` bytes at `position`; 0 at the end. */
export function pread(fd: number, target: Uint8Array, position: number, name = ''): number {
  if (target.length === 0) return 0
  for (;;) {
    const count = Number(libc.pread(fd, target, target.length, position))
    if (count >= 0) return count
    const number = lastErrno()
    if (number !== errno.EINTR) throw new SystemCallError('read', number, name)
  }
}

/** Writes all of `bytes` at the file's position. */
export function write(fd: number, bytes: Uint8Array, name = ''): void {
  let offset = 0
  while (offset < bytes.length) {
    const rest = offset === 0 ? bytes : bytes.subarray(offset)
    const count = Number(libc.write(fd, rest, rest.length))
    if (count >= 0) offset += count
    else retryOrThrow('write', name)
  }
}

/** Writes all of `bytes` at `position`. */
export function pwrite(fd: number, bytes: Uint8Array, position: number, name = ''): void {
  let offset = 0
  while (offset < bytes.length) {
    const rest = offset === 0 ? bytes : bytes.subarray(offset)
    const count = Number(libc.pwrite(fd, rest, rest.length, position + offset))
    if (count >= 0) offset += count
    else retryOrThrow('write', name)
  }
}

/** What copy_file_range(2) says where it cannot copy between just these files. */
const uncopyable: ReadonlySet<number> = new Set([errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])

/**
 * Copies the first `length` bytes of one open file to an empty one, within the kernel where it can: a file system that
 * shares blocks between files does so. Throws SystemCallError.
 */
export function copyContent(from: number, to: number, length: number, name = ''): void {
  let copied = 0
  while (copied < length) {
    const count = Number(libc.copy_file_range(from, null, to, null, length - copied, 0))
    if (count === 0) break
    if (count > 0) copied += count
    else {
      const number = lastErrno()
      if (uncopyable.has(number)) break
      if (number !== errno.EINTR) throw new SystemCallError('copy_file_range', number, name)
    }
  }
  if (copied === length) return
  const buffer = stableBytes(Math.min(length - copied, 1024 * 1024))
  while (copied < length) {
    const count = pread(from, buffer.subarray(0, Math.min(buffer.length, length - copied)), copied, name)
    if (count === 0) throw new Error(`${name} has fewer than ${length} bytes`)
    pwrite(to, buffer.subarray(0, count), copied, name)
    copied += count
  }
}

/** Brings a file's bytes and metadata to the disk. */
export function fsync(fd: number, name = ''): void {
  if (libc.fsync(fd) !== 0) throw new SystemCallError('fsync', lastErrno(), name)
}

/** Brings a file's bytes to the disk, with just the metadata needed to read them. */
export function fdatasync(fd: number, name = ''): void {
  if (libc.fdatasync(fd) !== 0) throw new SystemCallError('fdatasync', lastErrno(), name)
}

/** Brings all of the file system that `fd` is on to the disk. */
export function syncFileSystem(fd: number, name = ''): void {
  if (libc.syncfs(fd) !== 0) throw new SystemCallError('syncfs', lastErrno(), name)
}

const SYNC_FILE_RANGE_WRITE = 2

/**
 * Has the kernel begin to bring `length` bytes from `position` on to the disk, so that a later {@link fdatasync} finds
 * less to do. Only a hint: where a file system does not take it, nothing happens.
 */
export function startWriteback(fd: number, position: number, length: number): void {
  libc.sync_file_range(fd, position, length, SYNC_FILE_RANGE_WRITE)
}

/** Sets a file's length in bytes; what is added reads as zeros. */
export function ftruncate(fd: number, length: number, name = ''): void {
  if (libc.ftruncate(fd, length) !== 0) throw new SystemCallError('ftruncate', lastErrno(), name)
}

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const LOCK_UN = 8

/** Takes an advisory lock of the open file without waiting; false when another holds it. */
export function tryLock(fd: number, kind: 'shared' | 'exclusive', name = ''): boolean {
  for (;;) {
    if (libc.flock(fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true
    const number = lastErrno()
    if (number === errno.EAGAIN) return false
    if (number !== errno.EINTR) throw new SystemCallError('flock', number, name)
  }
}

/** Gives the lock of the open file back; closing the last descriptor of it does so too. */
export function unlock(fd: number, name = ''): void {
  if (libc.flock(fd, LOCK_UN) !== 0) throw new SystemCallError('flock', lastErrno(), name)
}

function retryOrThrow(call: string, name: string): void {
  const number = lastErrno()
  if (number !== errno.EINTR) throw new SystemCallError(call, number, name)
}
