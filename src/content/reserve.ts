import { SystemCallError } from '../linux/errno.ts'
import { allocate } from '../linux/free-space.ts'
import { close, ftruncate, open, openFlags } from '../linux/files.ts'
import { tryLstat } from '../linux/file-status.ts'
import { removeFile } from '../linux/names.ts'

/** File below the root that holds the space. */
const reserveFile = 'reserve'
/**
 * Bytes that are kept, the first that the disk has room for. Removing an image writes a few pages of the database's log
 * and a directory; the log is brought into the database after a thousand pages, so it does not grow beyond this.
 */
const sizes = [4 * 1024 * 1024, 1024 * 1024, 256 * 1024]

/** Bytes that are lent to commands which only read: what SQLite shares among processes is a file. */
const lent = 128 * 1024

/**
 * Keeps space on the disk that {@link releaseReserve} gives to commands which remove things, so that these work where
 * no other does. Does nothing where all of it is kept already, and what it can where there is little space.
 */
export function keepReserve(root: string): void {
  const path = `${root}/${reserveFile}`
  const held = tryLstat(path)?.size ?? 0
  const missing = sizes.filter((size) => size > held)
  for (const size of missing) if (tryReserve(path, size, held)) return
}

/** Gives the reserved space back to the file system. */
export function releaseReserve(root: string): void {
  removeFile(`${root}/${reserveFile}`)
}

/** Gives a small part of it back, enough to read the database. False where there is none. */
export function lendReserve(root: string): boolean {
  const path = `${root}/${reserveFile}`
  const held = tryLstat(path)?.size ?? 0
  if (held === 0) return false
  const fd = open(path, openFlags.O_WRONLY)
  try {
    ftruncate(fd, Math.max(0, held - lent), path)
  } finally {
    close(fd)
  }
  return true
}

function tryReserve(path: string, size: number, held: number): boolean {
  let fd = -1
  try {
    fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT, 0o600)
    allocate(fd, size, path)
    return true
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
    if (fd >= 0 && held > 0) ftruncate(fd, held, path)
    else if (fd >= 0) removeFile(path)
    return false
  } finally {
    if (fd >= 0) close(fd)
  }
}
