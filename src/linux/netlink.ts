import { FFIType } from 'bun:ffi'
import { SystemCallError, errno } from './errno.ts'
import { close } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'

/** rtnetlink(7): how the kernel is asked about network devices, addresses and routes, and told to change them. */

const libc = openLibc({
  socket: { args: [types.i32, types.i32, types.i32], returns: types.i32 },
  send: { args: [types.i32, types.ptr, types.u64, types.i32], returns: FFIType.i64_fast },
  recv: { args: [types.i32, types.ptr, types.u64, types.i32], returns: FFIType.i64_fast },
})

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0x80000
const NETLINK_ROUTE = 0

const NLM_F_REQUEST = 0x1
const NLM_F_ACK = 0x4
const NLM_F_DUMP_INTR = 0x10
const NLM_F_DUMP = 0x300
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const headerSize = 16

/** What a request does where something of the name is there, or is not. */
export const requestFlags = { replace: 0x100, exclusive: 0x200, create: 0x400 } as const

/** A message without its header, and an attribute: numbers in the order of this machine, padded to four bytes. */
export class MessageBuilder {
  #bytes = new Uint8Array(256)
  #length = 0

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  u8(value: number): this {
    this.#room(1)[0] = value
    return this
  }

  u16(value: number): this {
    const room = this.#room(2)
    new DataView(room.buffer, room.byteOffset).setUint16(0, value, true)
    return this
  }

  u32(value: number): this {
    const room = this.#room(4)
    new DataView(room.buffer, room.byteOffset).setUint32(0, value, true)
    return this
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(4 + value.length).u16(type)
    this.#room(value.length).set(value)
    this.#room(-this.#length & 3)
    return this
  }

  number(type: number, value: number): this {
    return this.attribute(type, new MessageBuilder().u32(value).bytes)
  }

  /** With the zero that ends it. */
  text(type: number, value: string): this {
    return this.attribute(type, new TextEncoder().encode(`${value}\0`))
  }

  /** An attribute of attributes. */
  nested(type: number, fill: (inner: MessageBuilder) => void): this {
    const inner = new MessageBuilder()
    fill(inner)
    return this.attribute(type, inner.bytes)
  }

  #room(size: number): Uint8Array {
    if (this.#length + size > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#length + size))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    const room = this.#bytes.subarray(this.#length, this.#length + size)
    this.#length += size
    return room
  }
}

/** Attributes by type; of several of one type the last. */
export function readAttributes(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const attributes = new Map<number, Uint8Array>()
  for (let offset = 0; offset + 4 <= bytes.length;) {
    const length = view.getUint16(offset, true)
    if (length < 4) break
    attributes.set(view.getUint16(offset + 2, true) & 0x3fff, bytes.slice(offset + 4, offset + length))
    offset += (length + 3) & ~3
  }
  return attributes
}

const bufferSize = 64 * 1024

/** A socket to the kernel, for the network namespace that the thread is in when it is opened. To be disposed of. */
export class RouteSocket implements Disposable {
  readonly #fd: number
  readonly #buffer = stableBytes(bufferSize)
  #sequence = 0

  /** Throws SystemCallError. */
  constructor() {
    this.#fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)
    if (this.#fd < 0) throw new SystemCallError('socket', lastErrno(), 'to the kernel')
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }

  /** Has the kernel do something. `subject` names it in the error. Throws SystemCallError with the kernel's reason. */
  change(type: number, flags: number, body: Uint8Array, subject: string): void {
    const sequence = this.#send(type, NLM_F_ACK | flags, body)
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence || message.type !== NLMSG_ERROR) continue
        const number = -new DataView(message.body.buffer, message.body.byteOffset).getInt32(0, true)
        if (number !== 0) throw new SystemCallError('netlink', number, subject)
        return
      }
    }
  }

  /** All of a kind: the bodies of the messages that tell of them. Throws SystemCallError. */
  list(type: number, body: Uint8Array): Uint8Array[] {
    for (;;) {
      const found = this.#dump(type, body)
      if (found !== undefined) return found
    }
  }

  /** Undefined where something was changed meanwhile. */
  #dump(type: number, body: Uint8Array): Uint8Array[] | undefined {
    const sequence = this.#send(type, NLM_F_DUMP, body)
    const found: Uint8Array[] = []
    let isWhole = true
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) isWhole = false
        if (message.type === NLMSG_DONE) return isWhole ? found : undefined
        if (message.type === NLMSG_ERROR) {
          const number = -new DataView(message.body.buffer, message.body.byteOffset).getInt32(0, true)
          throw new SystemCallError('netlink', number, 'list')
        }
        found.push(message.body)
      }
    }
  }

  #send(type: number, flags: number, body: Uint8Array): number {
    const sequence = ++this.#sequence
    const message = stableBytes(headerSize + body.length)
    const view = new DataView(message.buffer)
    view.setUint32(0, message.length, true)
    view.setUint16(4, type, true)
    view.setUint16(6, NLM_F_REQUEST | flags, true)
    view.setUint32(8, sequence, true)
    message.set(body, headerSize)
    if (Number(libc.send(this.#fd, ptr(message), message.length, 0)) < 0)
      throw new SystemCallError('send', lastErrno(), 'to the kernel')
    return sequence
  }

  /** The next messages; their bodies are copies. */
  *#receive(): Generator<{ type: number; flags: number; sequence: number; body: Uint8Array }> {
    const length = Number(libc.recv(this.#fd, ptr(this.#buffer), bufferSize, 0))
    if (length < 0) {
      const number = lastErrno()
      if (number === errno.EINTR) return
      throw new SystemCallError('recv', number, 'from the kernel')
    }
    const view = new DataView(this.#buffer.buffer, 0, length)
    for (let offset = 0; offset + headerSize <= length;) {
      const size = view.getUint32(offset, true)
      if (size < headerSize || offset + size > length) return
      yield {
        type: view.getUint16(offset + 4, true),
        flags: view.getUint16(offset + 6, true),
        sequence: view.getUint32(offset + 8, true),
        body: this.#buffer.slice(offset + headerSize, offset + size),
      }
      offset += (size + 3) & ~3
    }
  }
}
