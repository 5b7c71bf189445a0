import { dlopen, FFIType, ptr, read } from 'bun:ffi'
import type { Input, Output } from '../context.ts'
import { OutputClosed, translateWriteError, writeFailure } from '../write-error.ts'

/** Standard input and output of one process. */
export interface Terminal {
  readonly stdin: Input
  readonly stdout: Output
  readonly stderr: Output
}

// process.stdout would cost 9 ms (it loads node:tty and streams), so the descriptors are used directly. The functions
// are opened at the first use, because opening them compiles a call stub for each.
const openFunctions = () =>
  dlopen('libc.so.6', {
    write: { args: [FFIType.i32, FFIType.ptr, FFIType.u64], returns: FFIType.i64 },
    poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols
let functions: ReturnType<typeof openFunctions> | undefined
const libc = (): ReturnType<typeof openFunctions> => (functions ??= openFunctions())

const EINTR = 4
const EIO = 5
const EAGAIN = 11
const ENOSPC = 28
const EPIPE = 32
const ECONNRESET = 104
const POLLOUT = 4
const TIOCGWINSZ = 0x5413

function errno(): number {
  const address = libc().__errno_location()
  return address === null ? 0 : read.i32(address, 0)
}

/** Columns and rows of the terminal behind `fd`, or undefined where it is none. A terminal that says 0×0 is 80×24. */
function windowSize(fd: number): { readonly columns: number; readonly rows: number } | undefined {
  const size = new Uint16Array(new ArrayBuffer(8))
  if (libc().ioctl(fd, TIOCGWINSZ, ptr(size)) !== 0) return undefined
  return { columns: size[1] || 80, rows: size[0] || 24 }
}

function waitWritable(fd: number): void {
  const request = new Int32Array(new ArrayBuffer(8))
  request[0] = fd
  request[1] = POLLOUT
  libc().poll(ptr(request), 1, -1)
}

const encoder = new TextEncoder()

class DescriptorOutput implements Output {
  readonly #fd: 1 | 2
  #closed = false

  constructor(fd: 1 | 2) {
    this.#fd = fd
  }

  get isTTY(): boolean {
    return windowSize(this.#fd) !== undefined
  }

  get columns(): number {
    return windowSize(this.#fd)?.columns ?? 80
  }

  get rows(): number {
    return windowSize(this.#fd)?.rows ?? 24
  }

  write(data: string | Uint8Array): void {
    // A copy into memory whose address stays put: small typed arrays move.
    const given = typeof data === 'string' ? encoder.encode(data) : data
    const bytes = new Uint8Array(new ArrayBuffer(given.byteLength))
    bytes.set(given)
    for (let at = 0; at < bytes.byteLength && !this.#closed;) {
      const written = Number(libc().write(this.#fd, ptr(bytes, at), bytes.byteLength - at))
      if (written >= 0) at += written
      else this.#recover(errno())
    }
  }

  #recover(code: number): void {
    if (code === EINTR) return
    if (code === EAGAIN) return waitWritable(this.#fd)
    this.#closed = true
    if (this.#fd === 2) return
    // EIO: the terminal has hung up. ECONNRESET: the reader of a socket left what was sent unread.
    if (code === EPIPE || code === EIO || code === ECONNRESET) throw new OutputClosed()
    throw writeFailure(code === ENOSPC ? 'no space left on device' : `errno ${code}`)
  }

  async writeFrom(source: AsyncIterable<Uint8Array>): Promise<void> {
    const writer = Bun.file(this.#fd).writer()
    try {
      for await (const chunk of source) {
        await writer.write(chunk)
        await writer.flush()
      }
      await writer.end()
    } catch (error) {
      throw translateWriteError(error)
    }
  }

  onResize(listener: () => void): () => void {
    process.on('SIGWINCH', listener)
    return () => process.off('SIGWINCH', listener)
  }
}

class DescriptorInput implements Input {
  #chunks: AsyncIterator<Uint8Array> | undefined
  #pending = ''
  readonly #decoder = new TextDecoder()

  get isTTY(): boolean {
    return windowSize(0) !== undefined
  }

  async *bytes(): AsyncIterable<Uint8Array> {
    yield* Bun.stdin.stream()
  }

  async line(): Promise<string | undefined> {
    this.#chunks ??= this.bytes()[Symbol.asyncIterator]()
    for (;;) {
      const newline = this.#pending.indexOf('\n')
      if (newline >= 0) {
        const line = this.#pending.slice(0, newline)
        this.#pending = this.#pending.slice(newline + 1)
        return line.replace(/\r$/, '')
      }
      const { done, value } = await this.#chunks.next()
      if (done === true) {
        const last = this.#pending
        this.#pending = ''
        return last === '' ? undefined : last
      }
      this.#pending += this.#decoder.decode(value, { stream: true })
    }
  }
}

/** The process's own terminal. Nothing is opened until it is used. */
export function openTerminal(): Terminal {
  return { stdin: new DescriptorInput(), stdout: new DescriptorOutput(1), stderr: new DescriptorOutput(2) }
}
