import { SystemCallError } from './errno.ts'
import { close } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'

const { i32, ptr: pointer } = types

const libc = openLibc({ pipe2: { args: [pointer, i32], returns: i32 } })

const O_CLOEXEC = 0o2000000

const pair = new Int32Array(stableBytes(8).buffer)
const pairAddress = ptr(pair)

/** The two ends of a pipe as file descriptors. */
export interface Pipe {
  readonly read: number
  readonly write: number
}

/** A new pipe, which children do not inherit by themselves. */
export function openPipe(): Pipe {
  if (libc.pipe2(pairAddress, O_CLOEXEC) !== 0) throw new SystemCallError('pipe', lastErrno())
  return { read: pair[0] as number, write: pair[1] as number }
}

/**
 * The bytes that come out of the pipe, until its last writer is gone. At most one piece (64 KiB) is held at a time, so a
 * slow reader slows the writer down; `Bun.spawn`'s own pipes take in all there is. Takes over the descriptor `end` and
 * closes it, also when the reader leaves early: the writer then gets SIGPIPE.
 */
export async function* readPipe(end: number): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of Bun.file(end).stream()) yield chunk
  } finally {
    close(end)
  }
}
