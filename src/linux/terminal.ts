import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { SystemCallError } from './errno.ts'

const { i32, u64, ptr: pointer } = types

const libc = openLibc({
  tcgetattr: { args: [i32, pointer], returns: i32 },
  tcsetattr: { args: [i32, i32, pointer], returns: i32 },
  isatty: { args: [i32], returns: i32 },
  ioctl: { args: [i32, u64, pointer], returns: i32 },
})

const TCSANOW = 0

const TIOCGWINSZ = 0x5413
const TIOCSWINSZ = 0x5414

/** struct winsize: rows, columns and two sizes in pixels. */
const size = new Uint16Array(stableBytes(8).buffer)
const sizeAddress = ptr(size)

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

/** Size of a terminal in characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** Size of the terminal `fd`. Throws SystemCallError where `fd` is no terminal. */
export function terminalSize(fd: number): TerminalSize {
  if (libc.ioctl(fd, TIOCGWINSZ, sizeAddress) !== 0)
    throw new SystemCallError('ioctl TIOCGWINSZ', lastErrno(), `file descriptor ${fd}`)
  return { rows: size[0] ?? 0, columns: size[1] ?? 0 }
}

/** Sets the size of the terminal `fd`, or of the one that `fd` is the other end of. Its processes get SIGWINCH. */
export function setTerminalSize(fd: number, { columns, rows }: TerminalSize): void {
  size.set([rows, columns, 0, 0])
  if (libc.ioctl(fd, TIOCSWINSZ, sizeAddress) !== 0)
    throw new SystemCallError('ioctl TIOCSWINSZ', lastErrno(), `file descriptor ${fd}`)
}
