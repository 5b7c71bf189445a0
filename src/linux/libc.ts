import { dlopen, FFIType, ptr, read } from 'bun:ffi'

/**
 * The C library through Bun's FFI. Each module of this folder opens just the functions it needs, so that a command
 * pays only for those it uses. x86_64 and aarch64 glibc.
 */
const { i32, u32, i64, u64, ptr: pointer } = FFIType

export const types = { i32, u32, i64, u64, ptr: pointer } as const

/** Opens functions of libc. */
export function openLibc<const Functions extends Parameters<typeof dlopen>[1]>(
  functions: Functions,
): ReturnType<typeof dlopen<Functions>>['symbols'] {
  return dlopen('libc.so.6', functions).symbols
}

const location = openLibc({ __errno_location: { args: [], returns: pointer } })

/** errno of the call just made on this thread. Read it before anything else that could make a system call. */
export function lastErrno(): number {
  const address = location.__errno_location()
  return address === null ? 0 : read.i32(address, 0)
}

/**
 * Memory whose address stays put. Small typed arrays live inside a garbage-collected cell and move when `.buffer` is
 * touched, so a pointer to one dangles silently; an explicit ArrayBuffer does not.
 */
export function stableBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length))
}

export { ptr }
