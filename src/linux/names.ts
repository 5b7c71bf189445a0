import { FFIType } from 'bun:ffi'
import { CairnError } from '../errors/error.ts'
import { SystemCallError, errno } from './errno.ts'
import { AT_FDCWD } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { pathArgument, secondPathArgument } from './path-arguments.ts'
import { decodePath } from './path-bytes.ts'
import { inInitialUserNamespace } from './user-namespace.ts'

/**
 * Calls that make, change and remove names in a directory. `directory` is a file descriptor or {@link AT_FDCWD}; none
 * of them follows a symlink in the last component. All throw SystemCallError.
 */

const { i32, u32, u64, ptr: pointer } = types

const libc = openLibc({
  mkdirat: { args: [i32, pointer, u32], returns: i32 },
  mknodat: { args: [i32, pointer, u32, u64], returns: i32 },
  symlinkat: { args: [pointer, i32, pointer], returns: i32 },
  linkat: { args: [i32, pointer, i32, pointer, i32], returns: i32 },
  unlinkat: { args: [i32, pointer, i32], returns: i32 },
  renameat: { args: [i32, pointer, i32, pointer], returns: i32 },
  readlinkat: { args: [i32, pointer, pointer, u64], returns: FFIType.i64_fast },
  fchownat: { args: [i32, pointer, u32, u32, i32], returns: i32 },
  fchown: { args: [i32, u32, u32], returns: i32 },
  fchmodat: { args: [i32, pointer, u32, i32], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  futimens: { args: [i32, pointer], returns: i32 },
})

const AT_SYMLINK_NOFOLLOW = 0x100
const AT_SYMLINK_FOLLOW = 0x400
const AT_REMOVEDIR = 0x200
const AT_EMPTY_PATH = 0x1000

/** Makes a directory with `mode` less the umask. */
export function makeDirectoryAt(directory: number, name: string, mode: number): void {
  check('mkdir', libc.mkdirat(directory, pathArgument(name, 'mkdir'), mode), name)
}

/** As {@link makeDirectoryAt}; false when something of that name is there. */
export function tryMakeDirectoryAt(directory: number, name: string, mode: number): boolean {
  if (libc.mkdirat(directory, pathArgument(name, 'mkdir'), mode) === 0) return true
  const number = lastErrno()
  if (number === errno.EEXIST) return false
  throw new SystemCallError('mkdir', number, name)
}

/** Makes the directory `path` and its missing parents, each with `mode` less the umask. */
export function makeDirectories(path: string, mode = 0o755): void {
  if (libc.mkdirat(AT_FDCWD, pathArgument(path, 'mkdir'), mode) === 0) return
  const number = lastErrno()
  if (number === errno.EEXIST) return
  const slash = path.replace(/\/+$/, '').lastIndexOf('/')
  if (number !== errno.ENOENT || slash <= 0) throw new SystemCallError('mkdir', number, path)
  makeDirectories(path.slice(0, slash), mode)
  tryMakeDirectoryAt(AT_FDCWD, path, mode)
}

export type DeviceType = 'character-device' | 'block-device' | 'fifo'

const formatOfDevice: Record<DeviceType, number> = {
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
}

/** Makes a device file or fifo with `mode` less the umask. */
export function makeNodeAt(
  directory: number,
  name: string,
  type: DeviceType,
  mode: number,
  major = 0,
  minor = 0,
): void {
  const device = type === 'fifo' ? 0n : deviceNumber(major, minor)
  check('mknod', libc.mknodat(directory, pathArgument(name, 'mknod'), formatOfDevice[type] | mode, device), name)
}

/** glibc's makedev(3). */
function deviceNumber(major: number, minor: number): bigint {
  const high = BigInt(major)
  const low = BigInt(minor)
  return ((high & 0xfffn) << 8n) | ((high & ~0xfffn) << 32n) | (low & 0xffn) | ((low & ~0xffn) << 12n)
}

export function makeSymlinkAt(target: string, directory: number, name: string): void {
  const result = libc.symlinkat(pathArgument(target, 'symlink'), directory, secondPathArgument(name, 'symlink'))
  check('symlink', result, name)
}

/** Gives the file `oldName` (a symlink itself, where it is one) a second name. */
export function linkAt(oldDirectory: number, oldName: string, directory: number, name: string): void {
  const from = pathArgument(oldName, 'link')
  check('link', libc.linkat(oldDirectory, from, directory, secondPathArgument(name, 'link'), 0), name)
}

/** Gives an open file without a name, of O_TMPFILE, the name `path`. Needs /proc. */
export function linkOpenFile(fd: number, path: string): void {
  const from = pathArgument(`/proc/self/fd/${fd}`, 'link')
  check('link', libc.linkat(AT_FDCWD, from, AT_FDCWD, secondPathArgument(path, 'link'), AT_SYMLINK_FOLLOW), path)
}

/** Removes the name of anything but a directory. */
export function unlinkAt(directory: number, name: string): void {
  check('unlink', libc.unlinkat(directory, pathArgument(name, 'unlink'), 0), name)
}

/** Removes an empty directory. */
export function removeDirectoryAt(directory: number, name: string): void {
  check('rmdir', libc.unlinkat(directory, pathArgument(name, 'rmdir'), AT_REMOVEDIR), name)
}

/** Removes the file at `path`; nothing happens when there is none. */
export function removeFile(path: string): void {
  if (libc.unlinkat(AT_FDCWD, pathArgument(path, 'unlink'), 0) === 0) return
  const number = lastErrno()
  if (number !== errno.ENOENT) throw new SystemCallError('unlink', number, path)
}

/** Moves a name, replacing what is at the new one. */
export function renameAt(oldDirectory: number, oldName: string, directory: number, name: string): void {
  const from = pathArgument(oldName, 'rename')
  check('rename', libc.renameat(oldDirectory, from, directory, secondPathArgument(name, 'rename')), name)
}

/** Moves `from` to `to` on one file system, replacing what is there. */
export function rename(from: string, to: string): void {
  renameAt(AT_FDCWD, from, AT_FDCWD, to)
}

const linkBytes = stableBytes(4096)
const linkAddress = ptr(linkBytes)

/** Target of a symlink. */
export function readLinkAt(directory: number, name: string): string {
  const length = Number(libc.readlinkat(directory, pathArgument(name, 'readlink'), linkAddress, linkBytes.length))
  if (length < 0) throw new SystemCallError('readlink', lastErrno(), name)
  return decodePath(linkBytes.subarray(0, length))
}

/** Target of the symlink at `path`. */
export function readLink(path: string): string {
  return readLinkAt(AT_FDCWD, path)
}

/** Sets the owner of a name; clears setuid, setgid and file capabilities, so it comes before {@link changeModeAt}. */
export function changeOwnerAt(directory: number, name: string, uid: number, gid: number): void {
  const path = pathArgument(name, 'chown')
  const status = libc.fchownat(directory, path, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
  if (status !== 0) throw ownerError(uid, gid, name)
}

/** Sets the owner of an open file. `name` names it in the error. */
export function changeOwner(fd: number, uid: number, gid: number, name = ''): void {
  if (libc.fchown(fd, uid, gid) !== 0) throw ownerError(uid, gid, name)
}

/** Numbers that a user namespace does not have are told as EINVAL. */
function ownerError(uid: number, gid: number, name: string): CairnError {
  const failure = lastErrno()
  if (failure !== errno.EINVAL || inInitialUserNamespace()) return new SystemCallError('chown', failure, name)
  return new CairnError(
    'NOT_SUPPORTED',
    `${name} is to be owned by ${uid}:${gid}, and this user may not give files that owner`,
    {
      hint:
        'Its ids are those of /etc/subuid and /etc/subgid. More can be given to it: ' +
        'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER',
    },
  )
}

/** Sets permission bits. Follows a symlink, as Linux keeps no mode for one: callers know that `name` is none. */
export function changeModeAt(directory: number, name: string, mode: number): void {
  check('chmod', libc.fchmodat(directory, pathArgument(name, 'chmod'), mode, 0), name)
}

/** Sets the permission bits of an open file. */
export function changeMode(fd: number, mode: number, name = ''): void {
  check('chmod', libc.fchmod(fd, mode), name)
}

const timeBytes = stableBytes(32)
const timeAddress = ptr(timeBytes)
const times = new DataView(timeBytes.buffer)

/** Sets access and modification time of a name: seconds since 1970 (may be negative) and 0 to 999,999,999 ns. */
export function setTimesAt(directory: number, name: string, seconds: number, nanoseconds: number): void {
  storeTimes(seconds, nanoseconds)
  const path = pathArgument(name, 'utimensat')
  check('utimensat', libc.utimensat(directory, path, timeAddress, AT_SYMLINK_NOFOLLOW), name)
}

/** Sets access and modification time of an open file. */
export function setTimes(fd: number, seconds: number, nanoseconds: number, name = ''): void {
  storeTimes(seconds, nanoseconds)
  check('futimens', libc.futimens(fd, timeAddress), name)
}

function storeTimes(seconds: number, nanoseconds: number): void {
  const high = Math.floor(seconds / 0x1_0000_0000)
  for (const offset of [0, 16]) {
    times.setUint32(offset, seconds - high * 0x1_0000_0000, true)
    times.setInt32(offset + 4, high, true)
    times.setUint32(offset + 8, nanoseconds, true)
    times.setUint32(offset + 12, 0, true)
  }
}

function check(call: string, result: number, name: string): void {
  if (result !== 0) throw new SystemCallError(call, lastErrno(), name)
}
