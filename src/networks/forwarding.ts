import { joinNetworkNamespace } from '../linux/network-namespace.ts'
import type { PublishedPort } from './network.ts'

/**
 * The process that holds the ports of the host which are published for a container. So no other program can take them, and
 * what the kernel does not redirect reaches the container too: connections to 127.0.0.1 and to IPv6 addresses.
 */

/** A port that somebody else has. */
export interface TakenPort {
  readonly taken: PublishedPort
  readonly reason: string
}

/**
 * Takes all ports or none. The process goes on as long as they are held.
 *
 * @param namespace - file of the network namespace that containers are reached from, this process's own if absent
 */
export async function forwardPorts(
  ports: readonly PublishedPort[],
  namespace?: string,
): Promise<TakenPort | undefined> {
  for (const port of ports)
    try {
      // oxlint-disable-next-line no-await-in-loop -- the first that is taken ends it
      await (port.protocol === 'tcp' ? forwardConnections(port) : forwardDatagrams(port))
    } catch (error) {
      return { taken: port, reason: error instanceof Error ? error.message : String(error) }
    }
  if (namespace !== undefined) joinNetworkNamespace(namespace)
  ready.resolve()
  return undefined
}

/** Settles when connections to containers are made where these are. */
const ready = Promise.withResolvers<void>()

interface Peer {
  other?: Bun.Socket<Peer>
  /** Not written yet, for want of room. */
  pending: Uint8Array[]
  /** The other side has sent all. */
  isEnding: boolean
  isOpen: boolean
}

function newPeer(): Peer {
  return { pending: [], isEnding: false, isOpen: true }
}

/** Bytes that may wait for one side before the other is not read from any more. */
function forward(target: Bun.Socket<Peer>, source: Bun.Socket<Peer>, bytes: Uint8Array): void {
  const { pending } = target.data
  if (pending.length > 0) {
    pending.push(bytes.slice())
    source.pause()
    return
  }
  const written = Math.max(0, target.write(bytes))
  if (written === bytes.length) return
  pending.push(bytes.slice(written))
  source.pause()
}

function drain(target: Bun.Socket<Peer>): void {
  const peer = target.data
  for (;;) {
    const [first] = peer.pending
    if (first === undefined) break
    const written = Math.max(0, target.write(first))
    if (written < first.length) {
      peer.pending[0] = first.subarray(written)
      return
    }
    peer.pending.shift()
  }
  if (peer.isEnding) target.shutdown()
  peer.other?.resume()
}

function endOf(socket: Bun.Socket<Peer>): void {
  const { other } = socket.data
  if (other === undefined || !other.data.isOpen) return
  other.data.isEnding = true
  if (other.data.pending.length === 0) other.shutdown()
}

function closeBoth(socket: Bun.Socket<Peer>): void {
  const { other } = socket.data
  socket.data.isOpen = false
  if (other === undefined || !other.data.isOpen) return
  // What has arrived is still passed on.
  if (other.data.pending.length === 0) other.end()
  else other.data.isEnding = true
}

const handlers = {
  data: (socket: Bun.Socket<Peer>, bytes: Uint8Array): void => {
    const { other } = socket.data
    if (other === undefined) {
      socket.data.pending.push(bytes.slice())
      socket.pause()
    } else forward(other, socket, bytes)
  },
  drain,
  end: endOf,
  close: closeBoth,
  error: (socket: Bun.Socket<Peer>): void => {
    socket.terminate()
  },
}

async function forwardConnections({ hostAddress, hostPort, address, port }: PublishedPort): Promise<void> {
  // The types do not know ipv6Only here; without it IPv4's own socket could not be opened.
  const place = { hostname: hostAddress, port: hostPort, exclusive: true, ipv6Only: true, allowHalfOpen: true }
  Bun.listen<Peer>({
    ...place,
    socket: {
      ...handlers,
      open: (socket) => {
        socket.data = newPeer()
        socket.pause()
        void connectTo(address, port, socket)
      },
    },
  })
  return Promise.resolve()
}

async function connectTo(hostname: string, port: number, client: Bun.Socket<Peer>): Promise<void> {
  await ready.promise
  try {
    await Bun.connect<Peer>({
      hostname,
      port,
      allowHalfOpen: true,
      data: newPeer(),
      socket: {
        ...handlers,
        open: (socket) => {
          socket.data.other = client
          client.data.other = socket
          if (!client.data.isOpen) socket.end()
          client.resume()
        },
      },
    })
  } catch {
    client.terminate()
  }
}

/** Milliseconds after which a sender of datagrams that nobody answers is forgotten; docker's. */
const silence = 90_000

async function forwardDatagrams({ hostAddress, hostPort, address, port }: PublishedPort): Promise<void> {
  const clients = new Map<string, { readonly socket: Promise<Bun.udp.ConnectedSocket<'buffer'>>; usedAt: number }>()
  const front = await Bun.udpSocket({
    hostname: hostAddress,
    port: hostPort,
    // IPv6 alone.
    ...(hostAddress.includes(':') ? { flags: 8 } : {}),
    socket: {
      async data(_, bytes, fromPort, fromAddress) {
        const key = `${fromAddress} ${fromPort}`
        const client = clients.get(key) ?? { socket: answerTo(fromPort, fromAddress), usedAt: 0 }
        clients.set(key, client)
        client.usedAt = Date.now()
        const copy = bytes.slice()
        try {
          const socket = await client.socket
          socket.send(copy)
        } catch {
          clients.delete(key)
        }
      },
    },
  })
  setInterval(() => {
    for (const [key, client] of clients) {
      if (Date.now() - client.usedAt < silence) continue
      clients.delete(key)
      void client.socket.then((socket) => {
        socket.close()
      })
    }
  }, silence / 3)

  async function answerTo(clientPort: number, client: string): Promise<Bun.udp.ConnectedSocket<'buffer'>> {
    await ready.promise
    return await Bun.udpSocket({
      connect: { hostname: address, port },
      socket: {
        data(_, bytes) {
          front.send(bytes, clientPort, client)
        },
      },
    })
  }
}
