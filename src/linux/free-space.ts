import { SystemCallError } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { pathArgument } from './path-arguments.ts'

const libc = openLibc({
  statvfs: { args: [types.ptr, types.ptr], returns: types.i32 },
  fallocate: { args: [types.i32, types.i32, types.i64, types.i64], returns: types.i32 },
  posix_fallocate: { args: [types.i32, types.i64, types.i64], returns: types.i32 },
})

/** struct statvfs of glibc on 64-bit machines, as 64-bit words. */
const buffer = stableBytes(256)
const address = ptr(buffer)
const words = new BigUint64Array(buffer.buffer)
const ST_RDONLY = 1n

/** What a file system has left for this process. */
export interface FreeSpace {
  /** Bytes. */
  readonly bytes: number
  /** Files that can still be made; undefined on file systems that do not count them. */
  readonly files: number | undefined
  readonly isReadOnly: boolean
}

/** What the file system that `path` is on has left. Throws SystemCallError. */
export function freeSpace(path: string): FreeSpace {
  if (libc.statvfs(pathArgument(path, 'statvfs'), address) !== 0)
    throw new SystemCallError('statvfs', lastErrno(), path)
  const [, fragment = 0n, , , available = 0n, files = 0n, , freeFiles = 0n, , flags = 0n] = words
  return {
    bytes: Number(fragment * available),
    files: files === 0n ? undefined : Number(freeFiles),
    isReadOnly: (flags & ST_RDONLY) !== 0n,
  }
}

/** Of the flags of statvfs(3) those that mount(2) takes too: rdonly, nosuid, nodev, noexec, noatime, nodiratime, relatime. */
const MOUNT_FLAGS = 0x1n | 0x2n | 0x4n | 0x8n | 0x400n | 0x800n
const ST_RELATIME = 0x1000n
const MS_RELATIME = 0x20_0000

/** Flags of mount(2) that what is mounted at `path` has. Throws SystemCallError. */
export function mountFlagsOf(path: string): number {
  if (libc.statvfs(pathArgument(path, 'statvfs'), address) !== 0)
    throw new SystemCallError('statvfs', lastErrno(), path)
  const flags = words[9] ?? 0n
  return Number(flags & MOUNT_FLAGS) | ((flags & ST_RELATIME) === 0n ? 0 : MS_RELATIME)
}

const FALLOC_FL_KEEP_SIZE = 1

/**
 * Takes `length` bytes of the disk for what is about to be written to the open file from `position` on, all at once:
 * writing takes less of the processor then. The size of the file stays; truncating it to that gives back what was not
 * written. Only a hint: where the file system does not know it or is full, nothing happens.
 */
export function reserveSpace(fd: number, position: number, length: number): void {
  libc.fallocate(fd, FALLOC_FL_KEEP_SIZE, position, length)
}

/** Gives the open file `length` bytes on the disk. Throws SystemCallError, DISK_FULL where there is no space for them. */
export function allocate(fd: number, length: number, name = ''): void {
  const number = libc.posix_fallocate(fd, 0, length)
  if (number !== 0) throw new SystemCallError('fallocate', number, name)
}
