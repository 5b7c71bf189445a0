import { FFIType } from 'bun:ffi'
import { SystemCallError, errno } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { pathArgument, secondPathArgument } from './path-arguments.ts'
import { decodePath } from './path-bytes.ts'

/** Extended attributes with binary values, xattr(7). None of these calls follows a symlink in the last component. */

const { i32, u64, ptr: pointer } = types
const size = FFIType.i64_fast

const libc = openLibc({
  llistxattr: { args: [pointer, pointer, u64], returns: size },
  lgetxattr: { args: [pointer, pointer, pointer, u64], returns: size },
  lsetxattr: { args: [pointer, pointer, pointer, u64, i32], returns: i32 },
  fsetxattr: { args: [i32, pointer, pointer, u64, i32], returns: i32 },
  lremovexattr: { args: [pointer, pointer], returns: i32 },
})

/** Both XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h. */
const limit = 65536
const buffer = stableBytes(limit)
const address = ptr(buffer)

const none: readonly string[] = []

/** Names of the attributes of `path`; none on file systems without attributes. Throws SystemCallError. */
export function listXattrs(path: string): readonly string[] {
  const length = Number(libc.llistxattr(pathArgument(path, 'llistxattr'), address, limit))
  if (length === 0) return none
  if (length < 0) {
    const number = lastErrno()
    if (number === errno.EOPNOTSUPP) return none
    throw new SystemCallError('llistxattr', number, path)
  }
  return decodePath(buffer.subarray(0, length - 1)).split('\0')
}

/** Value of one attribute, or undefined when `path` has no such attribute. Throws SystemCallError. */
export function getXattr(path: string, name: string): Uint8Array<ArrayBuffer> | undefined {
  const file = pathArgument(path, 'lgetxattr')
  const length = Number(libc.lgetxattr(file, secondPathArgument(name, 'lgetxattr'), address, limit))
  if (length >= 0) return buffer.slice(0, length)
  const number = lastErrno()
  if (number === errno.ENODATA || number === errno.EOPNOTSUPP) return undefined
  throw new SystemCallError('lgetxattr', number, `${name} of ${path}`)
}

/** Sets one attribute, new or not. Throws SystemCallError. */
export function setXattr(path: string, name: string, value: Uint8Array): void {
  storeValue(value, 'lsetxattr', name)
  const file = pathArgument(path, 'lsetxattr')
  if (libc.lsetxattr(file, secondPathArgument(name, 'lsetxattr'), address, value.length, 0) !== 0)
    throw new SystemCallError('lsetxattr', lastErrno(), `${name} of ${path}`)
}

/** Sets one attribute of an open file. Throws SystemCallError, naming `path`. */
export function setXattrOf(fd: number, name: string, value: Uint8Array, path: string): void {
  storeValue(value, 'fsetxattr', name)
  if (libc.fsetxattr(fd, secondPathArgument(name, 'fsetxattr'), address, value.length, 0) !== 0)
    throw new SystemCallError('fsetxattr', lastErrno(), `${name} of ${path}`)
}

/** Removes one attribute; nothing happens when `path` does not have it. Throws SystemCallError. */
export function removeXattr(path: string, name: string): void {
  const file = pathArgument(path, 'lremovexattr')
  if (libc.lremovexattr(file, secondPathArgument(name, 'lremovexattr')) === 0) return
  const number = lastErrno()
  if (number !== errno.ENODATA) throw new SystemCallError('lremovexattr', number, `${name} of ${path}`)
}

function storeValue(value: Uint8Array, call: string, name: string): void {
  if (value.length > limit) throw new SystemCallError(call, errno.E2BIG, name)
  buffer.set(value)
}
