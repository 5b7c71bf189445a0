import { SystemCallError, errno } from './errno.ts'
import { ptr, stableBytes } from './libc.ts'
import { encodePathInto } from './path-bytes.ts'

/** linux/limits.h: a path with its NUL. */
const PATH_MAX = 4096

const firstBytes = stableBytes(PATH_MAX)
const secondBytes = stableBytes(PATH_MAX)
const firstAddress = ptr(firstBytes)
const secondAddress = ptr(secondBytes)

/**
 * Address of `path` as a NUL-terminated string, valid until the next call of this function. `call` names the system
 * call in the error: ENAMETOOLONG past PATH_MAX, EINVAL for a path with a NUL in it.
 */
export function pathArgument(path: string, call: string): typeof firstAddress {
  store(path, firstBytes, call)
  return firstAddress
}

/** The same in a second place, for calls that take two paths. */
export function secondPathArgument(path: string, call: string): typeof secondAddress {
  store(path, secondBytes, call)
  return secondAddress
}

function store(path: string, target: Uint8Array, call: string): void {
  if (path.includes('\0')) throw new SystemCallError(call, errno.EINVAL, JSON.stringify(path))
  const length = path.length < PATH_MAX ? encodePathInto(path, target) : -1
  if (length < 0 || length >= PATH_MAX) throw new SystemCallError(call, errno.ENAMETOOLONG, `${path.slice(0, 80)}…`)
  target[length] = 0
}
