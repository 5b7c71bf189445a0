import { SystemCallError } from './errno.ts'
import { tryLstat } from './file-status.ts'
import { close, fdatasync, open, openFlags, write } from './files.ts'
import { removeFile, rename } from './names.ts'

/** A file being written: see {@link openFileSink}. */
export interface FileSink extends Disposable {
  write(bytes: Uint8Array): void
  /** Puts the file in its place. Without it nothing is left. */
  commit(): void
}

/**
 * Writes the file `path`: beside it first, then in its place, so that it is there whole or not at all. Directly into a
 * device, a pipe, and what a symlink leads to: that may be /dev/stdout, whose place no file may take. Throws
 * SystemCallError naming the path.
 */
export function openFileSink(path: string): FileSink {
  const { O_WRONLY, O_CREAT, O_EXCL, O_TRUNC } = openFlags
  const there = tryLstat(path)?.type
  const isDirect = there !== undefined && there !== 'file' && there !== 'directory'
  const target = isDirect ? path : `${path}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
  if (there === 'directory') open(path, O_WRONLY) // fails with EISDIR, naming the path
  const wanted = there === 'symlink' ? O_CREAT | O_TRUNC : isDirect ? 0 : O_CREAT | O_EXCL
  let fd = openNaming(path, target, O_WRONLY | wanted)
  const end = (): void => {
    if (fd >= 0) close(fd)
    fd = -1
  }
  return {
    write: (bytes) => write(fd, bytes, path),
    commit: () => {
      if (!isDirect) fdatasync(fd, path)
      end()
      if (!isDirect) rename(target, path)
    },
    [Symbol.dispose]: () => {
      if (fd < 0) return
      end()
      if (!isDirect) removeFile(target)
    },
  }
}

/** Opens `target`; the error names `path`. */
function openNaming(path: string, target: string, flags: number): number {
  try {
    return open(target, flags, 0o644)
  } catch (error) {
    throw error instanceof SystemCallError
      ? new SystemCallError(error.call, error.errno, path, { cause: error })
      : error
  }
}
