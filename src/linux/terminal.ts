import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { SystemCallError } from './errno.ts'

const { i32, ptr: pointer } = types

const libc = openLibc({
  tcgetattr: { args: [i32, pointer], returns: i32 },
  tcsetattr: { args: [i32, i32, pointer], returns: i32 },
  isatty: { args: [i32], returns: i32 },
})

const TCSANOW = 0

/** More than struct termios has on any architecture (60 bytes on x86_64 and aarch64). */
const termiosSize = 128

/** True where the file descriptor is a terminal. */
export function isTerminal(fd: number): boolean {
  return libc.isatty(fd) === 1
}

/**
 * Remembers the modes of the terminal `fd` and gives a function that sets them again, at once and as often as it is
 * called. Throws SystemCallError where `fd` is no terminal.
 */
export function rememberTerminal(fd: number): () => void {
  const modes = stableBytes(termiosSize)
  const address = ptr(modes)
  if (libc.tcgetattr(fd, address) !== 0) throw new SystemCallError('tcgetattr', lastErrno(), `file descriptor ${fd}`)
  return () => {
    // Reading `modes` keeps it in memory as long as this function is.
    if (modes.length > 0) libc.tcsetattr(fd, TCSANOW, address)
  }
}
