import { FFIType } from 'bun:ffi'
import { SystemCallError, errno, isErrno } from './errno.ts'
import type { FileType } from './file-status.ts'
import { close, open, openFlags } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { decodePath } from './path-bytes.ts'

const libc = openLibc({
  getdents64: { args: [types.i32, types.ptr, types.u64], returns: FFIType.i64_fast },
})

const buffer = stableBytes(64 * 1024)
const address = ptr(buffer)
const words = new DataView(buffer.buffer)

/** One name in a directory. The type is undefined on file systems that do not keep it there. */
export interface DirectoryName {
  readonly name: string
  readonly type: FileType | undefined
}

/** d_type of linux/dirent.h. */
const typeOfCode: Readonly<Record<number, FileType>> = {
  1: 'fifo',
  2: 'character-device',
  4: 'directory',
  6: 'block-device',
  8: 'file',
  10: 'symlink',
  12: 'socket',
}

/** Names in the directory at `path` without `.` and `..`, in the file system's order. Throws SystemCallError. */
export function listDirectory(path: string): DirectoryName[] {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  try {
    return listOpenDirectory(fd, path)
  } finally {
    close(fd)
  }
}

/** As {@link listDirectory}; empty where there is nothing or something else at `path`. */
export function tryListDirectory(path: string): DirectoryName[] {
  try {
    return listDirectory(path)
  } catch (error) {
    if (isErrno(error, errno.ENOENT, errno.ENOTDIR)) return []
    throw error
  }
}

/** As {@link listDirectory}, of a directory that was just opened. `path` names it in the error. */
export function listOpenDirectory(fd: number, path = ''): DirectoryName[] {
  const names: DirectoryName[] = []
  for (;;) {
    const length = Number(libc.getdents64(fd, address, buffer.length))
    if (length < 0) throw new SystemCallError('getdents64', lastErrno(), path)
    if (length === 0) return names
    collectNames(length, names)
  }
}

/** struct linux_dirent64: u64 inode, i64 offset, u16 record length, u8 type, NUL-terminated name. */
function collectNames(length: number, names: DirectoryName[]): void {
  // A character for each byte: plain names are cut out of it, which costs less than to decode each.
  const text = Buffer.from(buffer.buffer, 0, length).toString('latin1')
  for (let offset = 0; offset < length;) {
    const recordLength = words.getUint16(offset + 16, true)
    const start = offset + 19
    const end = text.indexOf('\0', start)
    const name = isAscii(start, end) ? text.slice(start, end) : decodePath(buffer.subarray(start, end))
    if (name !== '.' && name !== '..') names.push({ name, type: typeOfCode[buffer[offset + 18] as number] })
    offset += recordLength
  }
}

function isAscii(start: number, end: number): boolean {
  for (let index = start; index < end; index++) if ((buffer[index] as number) >= 0x80) return false
  return true
}
