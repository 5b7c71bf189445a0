import { SystemCallError } from './errno.ts'
import { tryStat } from './file-status.ts'
import { close, fdatasync, open, openFlags, write } from './files.ts'
import { removeFile, rename } from './names.ts'

/** A file being written, which is at its path whole or not at all. */
export interface FileSink extends Disposable {
  write(bytes: Uint8Array): void
  /** Puts the file in its place. Without it nothing is left. */
  commit(): void
}

/**
 * Writes the file `path`: beside it first, then in its place; a device or pipe directly. Throws SystemCallError naming
 * the path.
 */
export function openFileSink(path: string): FileSink {
  const { O_WRONLY, O_CREAT, O_EXCL } = openFlags
  const there = tryStat(path)
  const isDirect = there !== undefined && there.type !== 'file' && there.type !== 'directory'
  const target = isDirect ? path : `${path}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
  if (there?.type === 'directory') open(path, O_WRONLY) // fails with EISDIR, naming the path
  let fd = openNaming(path, target, isDirect ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL)
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
