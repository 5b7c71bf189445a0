import { tryListDirectory } from '../../linux/directories.ts'
import { modifiedAt, fstat, tryLstat } from '../../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../../linux/files.ts'
import { makeDirectories, removeFile } from '../../linux/names.ts'
import { type Digest, digestHex, digestOf } from '../../oci/digest.ts'

/** A file for a blob on its way that this process writes, and no other on this machine. */
export interface ArrivingFile extends Disposable {
  readonly path: string
}

/**
 * Where a blob for a repository arrives. Whoever is killed leaves its beginning there, and who is next to fetch the blob
 * goes on with it.
 */
export function arrivingPath(directory: string, repository: string, digest: Digest): string {
  return `${directory}/${digestHex(digestOf(`${repository} ${digest}`))}`
}

/** Takes the file, which is made where there is none; undefined while another has it. */
export function tryTakeArriving(path: string): ArrivingFile | undefined {
  makeDirectories(path.slice(0, path.lastIndexOf('/')), 0o700)
  return tryTake(path, openFlags.O_RDWR | openFlags.O_CREAT)
}

/**
 * Removes beginnings that nobody has written to since `before` (milliseconds since 1970) nor is about to go on with; gives
 * their bytes. A dry run only tells.
 */
export function removeOldArrivals(directory: string, before: number, isDryRun: boolean): number {
  let bytes = 0
  for (const { name } of tryListDirectory(directory)) {
    const path = `${directory}/${name}`
    const status = tryLstat(path)
    if (status === undefined || modifiedAt(status) >= before) continue
    using held = tryTake(path, openFlags.O_RDWR)
    if (held === undefined) continue
    if (!isDryRun) removeFile(path)
    bytes += status.size
  }
  return bytes
}

function tryTake(path: string, flags: number): ArrivingFile | undefined {
  const fd = open(path, flags | openFlags.O_NOFOLLOW, 0o600)
  // Whoever had it may just have removed it.
  if (tryLock(fd, 'exclusive', path) && tryLstat(path)?.inode === fstat(fd).inode)
    return { path, [Symbol.dispose]: () => close(fd) }
  close(fd)
  return undefined
}
