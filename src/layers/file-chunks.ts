import { close, open, openFlags, read } from '../linux/files.ts'
import { stableBytes } from '../linux/libc.ts'
import { type Digest, Digester, digestOf } from '../oci/digest.ts'

const chunkSize = 1024 * 1024

/** Buffers that nobody reads into at the moment: a new one for each file costs more than reading a small file does. */
const idle: Uint8Array<ArrayBuffer>[] = []
const idleLimit = 4

/**
 * Bytes of the file at `path` (a symlink is not followed), in pieces of up to 1 MiB, each valid until the next one is
 * asked for. Throws SystemCallError.
 */
export function* readFileChunks(path: string): Generator<Uint8Array> {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW | openFlags.O_NONBLOCK)
  try {
    yield* readChunks(fd, path)
  } finally {
    close(fd)
  }
}

/** The same of an open file from its position, which stays open. `name` names it in the error. */
export function* readChunks(fd: number, name: string): Generator<Uint8Array> {
  const buffer = idle.pop() ?? stableBytes(chunkSize)
  try {
    for (;;) {
      const count = read(fd, buffer, name)
      if (count === 0) return
      yield buffer.subarray(0, count)
    }
  } finally {
    if (idle.length < idleLimit) idle.push(buffer)
  }
}

/** Digest of an open regular file from its position, which stays open. `name` names it in the error. */
export function digestOpenFile(fd: number, name: string): Digest {
  const buffer = idle.pop() ?? stableBytes(chunkSize)
  try {
    let count = read(fd, buffer, name)
    // Only at its end has a file fewer bytes than there is room for.
    if (count < buffer.length) return digestOf(buffer.subarray(0, count))
    const digester = new Digester()
    for (; count > 0; count = read(fd, buffer, name)) digester.update(buffer.subarray(0, count))
    return digester.digest()
  } finally {
    if (idle.length < idleLimit) idle.push(buffer)
  }
}
