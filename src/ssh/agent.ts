import { CairnError } from '../errors/error.ts'
import { parsePrivateKey, type SigningKey } from './private-key.ts'
import { concatenated, uint32, WireReader, wireString } from './wire.ts'

/**
 * The part of the agent protocol that a build step may speak: list keys and sign with them. draft-ietf-sshm-ssh-agent,
 * §6.1 numbers. Whatever else there is (adding, removing, locking, extensions) would let a step change the user's agent.
 */
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14

/** What an agent answers to all that it does not do. */
export const agentFailure: Uint8Array = new Uint8Array([5])

/** No message is longer, in bytes: the bound of OpenSSH's own agent. */
export const largestMessage = 256 * 1024

/** Answers one message, which is given and taken without its length. Never rejects. */
export type AgentAnswer = (message: Uint8Array) => Promise<Uint8Array> | Uint8Array

/** Where the keys of an SSH mount come from. */
export interface SshAgent {
  /** Begins a conversation; `close` ends it. */
  readonly connect: () => { readonly answer: AgentAnswer; readonly close: () => void }
}

/** True for a message that is passed on. */
function isAllowed(message: Uint8Array): boolean {
  return message[0] === REQUEST_IDENTITIES || message[0] === SIGN_REQUEST
}

/** An agent of our own that holds the keys in these private key files. Throws what {@link parsePrivateKey} throws. */
export async function keyAgent(files: readonly { readonly name: string; readonly text: string }[]): Promise<SshAgent> {
  const keys = await Promise.all(files.map(({ name, text }) => parsePrivateKey(text, name)))
  return { connect: () => ({ answer: (message) => answerWith(keys, message), close: () => {} }) }
}

function answerWith(keys: readonly SigningKey[], message: Uint8Array): Uint8Array {
  try {
    if (message[0] === REQUEST_IDENTITIES)
      return concatenated(
        new Uint8Array([IDENTITIES_ANSWER]),
        uint32(keys.length),
        ...keys.flatMap(({ publicKey, comment }) => [wireString(publicKey), wireString(comment)]),
      )
    if (message[0] !== SIGN_REQUEST) return agentFailure
    const reader = new WireReader(message.subarray(1), 'an agent request')
    const wanted = reader.bytes()
    const data = reader.bytes()
    const flags = reader.uint32()
    const key = keys.find(({ publicKey }) => Buffer.compare(publicKey, wanted) === 0)
    if (key === undefined) return agentFailure
    return concatenated(new Uint8Array([SIGN_RESPONSE]), wireString(key.sign(data, flags)))
  } catch (error) {
    if (error instanceof CairnError) return agentFailure
    throw error
  }
}

/** The agent at a socket of the host, one connection to it for each conversation. */
export function socketAgent(path: string): SshAgent {
  return {
    connect: () => {
      let peer: Promise<AgentPeer> | undefined
      return {
        answer: async (message) => {
          if (!isAllowed(message)) return agentFailure
          try {
            peer ??= AgentPeer.open(path)
            return await (await peer).ask(message)
          } catch {
            // An agent that has gone, or that says what no agent says.
            return agentFailure
          }
        },
        close: () => void peer?.then((open) => open.close()).catch(() => {}),
      }
    },
  }
}

/** Our end of a connection to the user's agent. */
class AgentPeer {
  readonly #frames = new AgentFrames()
  readonly #waiting: PromiseWithResolvers<Uint8Array>[] = []
  #socket: Bun.Socket | undefined

  static async open(path: string): Promise<AgentPeer> {
    const peer = new AgentPeer()
    const end = (): void => peer.#fail(new Error('the agent closed the connection'))
    peer.#socket = await Bun.connect({
      unix: path,
      socket: { data: (_, bytes) => peer.#take(bytes), close: end, end, error: end, connectError: end },
    })
    return peer
  }

  async ask(message: Uint8Array): Promise<Uint8Array> {
    const reply = Promise.withResolvers<Uint8Array>()
    this.#waiting.push(reply)
    if (this.#socket === undefined || this.#socket.write(framed(message)) !== message.length + 4) {
      // A request is small; an agent that leaves even that unread is taken for dead.
      this.#fail(new Error('the agent does not read'))
    }
    return await reply.promise
  }

  close(): void {
    this.#socket?.end()
  }

  #take(bytes: Uint8Array): void {
    try {
      for (const message of this.#frames.take(bytes)) this.#waiting.shift()?.resolve(message)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#socket?.end()
    this.#socket = undefined
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

/** A message with its length, as it goes over the socket. */
export function framed(message: Uint8Array): Uint8Array {
  return concatenated(uint32(message.length), message)
}

/** Cuts a stream of bytes into messages. Throws LIMIT_EXCEEDED for one that is too long or empty. */
export class AgentFrames {
  #pending: Uint8Array = new Uint8Array()

  take(bytes: Uint8Array): Uint8Array[] {
    this.#pending = concatenated(this.#pending, bytes)
    const messages: Uint8Array[] = []
    for (;;) {
      if (this.#pending.length < 4) return messages
      const length = new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0)
      if (length === 0 || length > largestMessage)
        throw new CairnError('LIMIT_EXCEEDED', `a message of ${length} bytes is none of the SSH agent protocol`)
      if (this.#pending.length < 4 + length) return messages
      messages.push(this.#pending.slice(4, 4 + length))
      this.#pending = this.#pending.slice(4 + length)
    }
  }
}
