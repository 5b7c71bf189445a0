import { SystemCallError } from './errno.ts'
import { tryLstat } from './file-status.ts'
import { close, fdatasync, open, openFlags, write } from './files.ts'
import { linkOpenFile, removeFile, rename } from './names.ts'

/** A file being written: see {@link openFileSink}. */
export interface FileSink extends Disposable {
  write(bytes: Uint8Array): void
  /** Puts the file in its place. Without it nothing is left. */
  commit(): void
}

/**
 * Writes the file `path`: without a name first, then in its place, so that it is there whole or not at all, also where
 * the process is killed. Where the file system has no files without a name it is written beside its place. Directly into a
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
  const nameless = isDirect ? undefined : openNameless(path)
  let fd = nameless ?? openNaming(path, target, O_WRONLY | wanted)
  /** Whether there is a file that is in nobody's place yet. */
  let isBeside = !isDirect && nameless === undefined
  const end = (): void => {
    if (fd >= 0) close(fd)
    fd = -1
  }
  return {
    write: (bytes) => write(fd, bytes, path),
    commit: () => {
      if (!isDirect) fdatasync(fd, path)
      if (nameless !== undefined) linkOpenFile(nameless, target)
      isBeside = !isDirect
      end()
      if (!isDirect) rename(target, path)
      isBeside = false
    },
    [Symbol.dispose]: () => {
      end()
      if (isBeside) removeFile(target)
      isBeside = false
    },
  }
}

/** A file without a name in the directory of `path`; undefined where there can be none. */
function openNameless(path: string): number | undefined {
  const directory = path.slice(0, path.lastIndexOf('/') + 1)
  let fd: number
  try {
    fd = open(directory === '' ? '.' : directory, openFlags.O_TMPFILE | openFlags.O_WRONLY, 0o644)
  } catch (error) {
    // What cannot be written at all fails in the other way, too.
    if (error instanceof SystemCallError) return undefined
    throw error
  }
  if (tryLstat(`/proc/self/fd/${fd}`) !== undefined) return fd
  close(fd)
  return undefined
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
