import { SystemCallError, errno } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { pathArgument } from './path-arguments.ts'

const libc = openLibc({
  statx: { args: [types.i32, types.ptr, types.i32, types.u32, types.ptr], returns: types.i32 },
})

export type FileType = 'file' | 'directory' | 'symlink' | 'character-device' | 'block-device' | 'fifo' | 'socket'

/** What statx(2) tells of a file. */
export interface FileStatus {
  readonly type: FileType
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes. */
  readonly size: number
  /** Bytes on disk: less than `size` for a file with holes. */
  readonly allocated: number
  readonly nlink: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly ctimeSeconds: number
  readonly ctimeNanoseconds: number
  /** A bigint only where a number would lose digits. Unique within `device`. */
  readonly inode: number | bigint
  /** The file system: major × 2³² + minor. */
  readonly device: number
  /** Of a device file, else 0. */
  readonly rdevMajor: number
  readonly rdevMinor: number
}

/** When a file was modified, in whole milliseconds since 1970. */
export function modifiedAt({ mtimeSeconds, mtimeNanoseconds }: FileStatus): number {
  return mtimeSeconds * 1000 + Math.trunc(mtimeNanoseconds / 1e6)
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_EMPTY_PATH = 0x1000
const STATX_BASIC_STATS = 0x7ff

/** struct statx, include/uapi/linux/stat.h: the same on every architecture. Offsets in 32-bit words. */
const buffer = stableBytes(256)
const address = ptr(buffer)
const words = new Uint32Array(buffer.buffer)
const signedWords = new Int32Array(buffer.buffer)
const halves = new Uint16Array(buffer.buffer)

const typeOfFormat: Readonly<Record<number, FileType>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
  0o020000: 'character-device',
  0o060000: 'block-device',
  0o010000: 'fifo',
  0o140000: 'socket',
}

/** What is at `path`, a symlink itself. Throws SystemCallError. */
export function lstat(path: string): FileStatus {
  return statusOf(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
}

/** What `path` leads to, symlinks followed. Throws SystemCallError. */
export function stat(path: string): FileStatus {
  return statusOf(AT_FDCWD, path, 0)
}

/** What is at `path`, a symlink itself; undefined when there is nothing or a parent is no directory. */
export function tryLstat(path: string): FileStatus | undefined {
  return tryStatusOf(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
}

/** What `path` leads to; undefined when there is nothing or a parent is no directory. */
export function tryStat(path: string): FileStatus | undefined {
  return tryStatusOf(AT_FDCWD, path, 0)
}

/** What `name` is in the directory `directory` (a file descriptor), a symlink itself. Throws SystemCallError. */
export function lstatAt(directory: number, name: string): FileStatus {
  return statusOf(directory, name, AT_SYMLINK_NOFOLLOW)
}

/** As {@link lstatAt}; undefined when there is nothing. */
export function tryLstatAt(directory: number, name: string): FileStatus | undefined {
  return tryStatusOf(directory, name, AT_SYMLINK_NOFOLLOW)
}

/** What an open file is. Throws SystemCallError. */
export function fstat(fd: number): FileStatus {
  return statusOf(fd, '', AT_EMPTY_PATH)
}

function statusOf(directory: number, path: string, flags: number): FileStatus {
  const status = tryStatusOf(directory, path, flags)
  if (status === undefined) throw new SystemCallError('statx', failure, path)
  return status
}

let failure = 0

function tryStatusOf(directory: number, path: string, flags: number): FileStatus | undefined {
  const result = libc.statx(directory, pathArgument(path, 'statx'), flags, STATX_BASIC_STATS, address)
  if (result === 0) return currentStatus()
  failure = lastErrno()
  if (failure === errno.ENOENT || failure === errno.ENOTDIR) return undefined
  throw new SystemCallError('statx', failure, path === '' ? `file descriptor ${directory}` : path)
}

function currentStatus(): FileStatus {
  const format = halves[14] as number
  const inodeHigh = words[9] as number
  const inodeLow = words[8] as number
  return {
    type: typeOfFormat[format & 0o170000] ?? 'file',
    mode: format & 0o7777,
    uid: words[5] as number,
    gid: words[6] as number,
    size: (words[11] as number) * 0x1_0000_0000 + (words[10] as number),
    allocated: ((words[13] as number) * 0x1_0000_0000 + (words[12] as number)) * 512,
    nlink: words[4] as number,
    mtimeSeconds: (signedWords[29] as number) * 0x1_0000_0000 + (words[28] as number),
    mtimeNanoseconds: words[30] as number,
    ctimeSeconds: (signedWords[25] as number) * 0x1_0000_0000 + (words[24] as number),
    ctimeNanoseconds: words[26] as number,
    inode: inodeHigh < 0x20_0000 ? inodeHigh * 0x1_0000_0000 + inodeLow : (BigInt(inodeHigh) << 32n) | BigInt(inodeLow),
    device: (words[34] as number) * 0x1_0000_0000 + (words[35] as number),
    rdevMajor: words[32] as number,
    rdevMinor: words[33] as number,
  }
}
