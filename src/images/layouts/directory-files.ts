import { CairnError } from '../../errors/error.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, open, openFlags, read } from '../../linux/files.ts'
import { stableBytes } from '../../linux/libc.ts'
import { readText } from '../../linux/text-file.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { ArchiveFile } from '../archives/archive-file.ts'
import type { ArchiveFiles } from '../archives/archive-files.ts'

const pieceSize = 1024 * 1024

/**
 * The files of a directory that is laid out as archives of images are. No path leads out of it by `..`. Symlinks are followed, as some builders write layouts of them: what they lead to is verified
 * like all else. Anything but a regular file fails with ARCHIVE_INVALID.
 */
export function directoryFiles(directory: string): ArchiveFiles {
  return {
    find: (path) => {
      if (path.split('/').includes('..')) return undefined
      const at = `${directory}/${path}`
      const file = openRegular(at)
      if (file === undefined) return undefined
      close(file.fd)
      return fileAt(at, file.size)
    },
    [Symbol.dispose]: () => {},
  }
}

function fileAt(path: string, size: number): ArchiveFile {
  const bytes = (): ByteSource => readFile(path)
  return {
    size,
    read: bytes,
    store: async (lease, expected) => {
      const { digest } = expected
      if (digest !== undefined && (expected.size ?? size) === size && lease.claim(digest)) return { digest, size }
      const ingest = lease.ingest(expected)
      try {
        for await (const piece of bytes()) ingest.write(piece)
        return await ingest.commit()
      } finally {
        ingest.abort()
      }
    },
  }
}

async function* readFile(path: string): ByteSource {
  const file = openRegular(path)
  if (file === undefined) throw new CairnError('ARCHIVE_INVALID', `${path} is gone`)
  try {
    const buffer = stableBytes(Math.max(1, Math.min(pieceSize, file.size)))
    for (;;) {
      const count = read(file.fd, buffer, path)
      if (count === 0) return
      yield buffer.subarray(0, count)
    }
  } finally {
    close(file.fd)
  }
}

/**
 * The text of `index.json` or `oci-layout`, undefined where there is none; text past 4 MiB is cut off. Throws ARCHIVE_INVALID where
 * it is no regular file.
 */
export function readLayoutText(path: string): string | undefined {
  const file = openRegular(path)
  if (file === undefined) return undefined
  try {
    return readText(file.fd, largestDocument, path)
  } finally {
    close(file.fd)
  }
}

/** Opens without waiting, so that a fifo in place of a file keeps nobody. */
function openRegular(path: string): { readonly fd: number; readonly size: number } | undefined {
  let fd: number
  try {
    fd = open(path, openFlags.O_RDONLY | openFlags.O_NONBLOCK)
  } catch (error) {
    const isMissing = isErrno(error, errno.ENOENT, errno.ENOTDIR)
    if (isMissing) return undefined
    throw error
  }
  const { type, size } = fstat(fd)
  if (type === 'file') return { fd, size }
  close(fd)
  throw new CairnError('ARCHIVE_INVALID', `${path} is a ${type}, not a file`)
}
