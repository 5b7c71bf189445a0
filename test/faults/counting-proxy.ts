import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * Passes bytes on to a server on this machine at the pace of a network, counts them, and cuts connections when it is told
 * to.
 */
export class CountingProxy {
  /** Bytes that went to the server, and to clients. */
  up = 0
  down = 0
  cuts = 0
  /** Bytes after which a connection is cut; undefined for never. Asked for each connection. */
  lifetime: () => number | undefined = () => undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Bytes in a millisecond, and when the next ones may go. */
  readonly #rate: number
  #next = 0

  private constructor(port: number, rate: number) {
    this.#rate = rate
    this.#server = createServer({ noDelay: true }, (client) => this.#link(client, connect(port, '127.0.0.1')))
  }

  /** Stands before the server at `port` of the loopback interface, and passes on `rate` bytes a second. */
  static async start(port: number, rate: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(port, rate / 1000)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get host(): string {
    const address = this.#server.address()
    return `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  }

  stop(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #link(client: Socket, server: Socket): void {
    let left = this.lifetime() ?? Infinity
    const forward = (from: Socket, to: Socket, count: (bytes: number) => void): void => {
      this.#sockets.add(from)
      from.on('data', (bytes: Uint8Array) => {
        if (left <= 0) return
        left -= bytes.length
        count(bytes.length)
        const isTaken = to.write(bytes)
        if (left <= 0) {
          this.cuts++
          // What is on its way arrives, then the connection is gone.
          to.end(() => to.destroy())
          from.destroy()
          return
        }
        const wait = this.#waitFor(bytes.length)
        if (isTaken && wait < 2) return
        from.pause()
        const go = (): unknown => setTimeout(() => from.resume(), wait)
        if (isTaken) go()
        else to.once('drain', go)
      })
      from.on('error', () => from.destroy())
      from.on('end', () => to.end())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.end(() => to.destroy())
      })
    }
    forward(client, server, (bytes) => (this.up += bytes))
    forward(server, client, (bytes) => (this.down += bytes))
  }

  /** Milliseconds until the network is free again after these bytes. */
  #waitFor(bytes: number): number {
    const now = performance.now()
    this.#next = Math.max(now, this.#next) + bytes / this.#rate
    return this.#next - now
  }
}
