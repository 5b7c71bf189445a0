import { FFIType } from 'bun:ffi'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { SystemCallError } from './errno.ts'

const { i32, u64, ptr: pointer } = types

const libc = openLibc({
  tcgetattr: { args: [i32, pointer], returns: i32 },
  tcsetattr: { args: [i32, i32, pointer], returns: i32 },
  cfmakeraw: { args: [pointer], returns: FFIType.void },
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

/**
 * Makes the terminal `fd` hand over each key as it is, without meaning for itself, until the result is called. Throws
 * SystemCallError where `fd` is no terminal.
 */
export function makeRaw(fd: number): () => void {
  const restore = rememberTerminal(fd)
  const modes = stableBytes(termiosSize)
  if (libc.tcgetattr(fd, ptr(modes)) !== 0) throw new SystemCallError('tcgetattr', lastErrno(), `file descriptor ${fd}`)
  libc.cfmakeraw(ptr(modes))
  libc.tcsetattr(fd, TCSANOW, ptr(modes))
  return restore
}

/** struct termios: four words, the last of which has the flag. */
const localFlags = 3
const ECHO = 0o10

/** Has the terminal `fd` not show what is typed until the result is called. Throws SystemCallError where it is none. */
export function hideInput(fd: number): () => void {
  const restore = rememberTerminal(fd)
  const modes = stableBytes(termiosSize)
  if (libc.tcgetattr(fd, ptr(modes)) !== 0) throw new SystemCallError('tcgetattr', lastErrno(), `file descriptor ${fd}`)
  const words = new Uint32Array(modes.buffer)
  words[localFlags] = (words[localFlags] ?? 0) & ~ECHO
  libc.tcsetattr(fd, TCSANOW, ptr(modes))
  return restore
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
