import { SystemCallError } from '../linux/errno.ts'
import { allocate } from '../linux/free-space.ts'
import { close, open, openFlags } from '../linux/files.ts'
import { tryLstat } from '../linux/file-status.ts'
import { removeFile } from '../linux/names.ts'

/** File below the root that holds the space. */
const reserveFile = 'reserve'
/**
 * Bytes that are kept, the first that the disk has room for. Removing an image writes a few pages of the database's log
 * and a directory; the log is brought into the database after a thousand pages, so it does not grow beyond this.
 */
const sizes = [4 * 1024 * 1024, 1024 * 1024, 256 * 1024]

/**
 * Keeps space on the disk that {@link releaseReserve} gives to commands which remove things, so that these work where
 * no other does. Does nothing where it is kept already or where there is no space.
 */
export function keepReserve(root: string): void {
  const path = `${root}/${reserveFile}`
  if (tryLstat(path) !== undefined) return
  for (const size of sizes) if (tryReserve(path, size)) return
}

/** Gives the reserved space back to the file system. */
export function releaseReserve(root: string): void {
  removeFile(`${root}/${reserveFile}`)
}

function tryReserve(path: string, size: number): boolean {
  let fd = -1
  try {
    fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
    allocate(fd, size, path)
    return true
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error
    if (fd >= 0) removeFile(path)
    return false
  } finally {
    if (fd >= 0) close(fd)
  }
}
