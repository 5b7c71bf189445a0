import { SystemCallError, errno } from './errno.ts'
import { close, open, openFlags } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'

const { i32, u32, ptr: pointer } = types

const libc = openLibc({
  socket: { args: [i32, i32, i32], returns: i32 },
  connect: { args: [i32, pointer, u32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
})

const AF_UNIX = 1
const SOCK_SEQPACKET = 5
const SOCK_CLOEXEC = 0o2000000
const SOCK_NONBLOCK = 0o4000
const SHUT_WR = 1

/** A connection that keeps the bounds of what is written to it: unix(7), SOCK_SEQPACKET. */
export interface PacketSocket {
  /** Sends one packet; waits while the other side takes none. Does nothing once that is gone. */
  readonly write: (packet: Uint8Array) => Promise<void>
  /** Tells the other side that nothing more comes. What it sends still arrives. */
  readonly end: () => void
  readonly close: () => void
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>
}

/**
 * Connects to the socket `name` of `directory`. `onPacket` gets one packet at a time, whose bytes are its own only
 * during the call. Undefined where nobody listens. Throws SystemCallError.
 */
export async function connectPackets(
  directory: string,
  name: string,
  onPacket: (packet: Uint8Array) => void,
): Promise<PacketSocket | undefined> {
  const fd = openSocket(directory, name)
  if (fd === undefined) return undefined
  const ended = Promise.withResolvers<void>()
  let room = Promise.withResolvers<void>()
  const state = { isOpen: true }
  const onEnd = (): void => {
    state.isOpen = false
    room.resolve()
    ended.resolve()
  }
  const handlers: Bun.SocketHandler<undefined> = {
    data: (_, packet) => onPacket(packet),
    drain: () => {
      room.resolve()
      room = Promise.withResolvers()
    },
    end: (ending) => void ending.end(),
    error: onEnd,
    close: onEnd,
  }
  // Bun reads a socket once for each time that there is something to read, which is one packet. Its types leave `fd` out.
  const options = { fd, socket: handlers } as unknown as Bun.UnixSocketOptions
  const socket = await Bun.connect(options)
  return {
    write: async (packet) => {
      // A packet is sent whole or not at all.
      while (state.isOpen && socket.write(packet) === 0) await room.promise
    },
    end: () => void (state.isOpen && libc.shutdown(fd, SHUT_WR)),
    close: () => void socket.end(),
    closed: ended.promise,
  }
}

function openSocket(directory: string, name: string): number | undefined {
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
  if (fd < 0) throw new SystemCallError('socket', lastErrno())
  // The address of a socket is at most 107 bytes long, which the path of a store may pass.
  const home = open(directory, openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    const address = new TextEncoder().encode(`/proc/self/fd/${home}/${name}\0`)
    const structure = stableBytes(2 + address.length)
    new DataView(structure.buffer).setUint16(0, AF_UNIX, true)
    structure.set(address, 2)
    if (libc.connect(fd, ptr(structure), structure.length) === 0) return fd
    const failure = lastErrno()
    close(fd)
    if (failure === errno.ENOENT || failure === ECONNREFUSED) return undefined
    throw new SystemCallError('connect', failure, `${directory}/${name}`)
  } finally {
    close(home)
  }
}

const ECONNREFUSED = 111
