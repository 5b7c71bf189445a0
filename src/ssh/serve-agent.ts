import { AT_FDCWD, close, open, openFlags } from '../linux/files.ts'
import { changeModeAt, changeOwnerAt } from '../linux/names.ts'
import { type AgentAnswer, AgentFrames, framed, largestMessage, type SshAgent } from './agent.ts'

/** A socket that speaks the agent protocol, for as long as it is not closed. */
export interface ServedAgent {
  readonly close: () => void
}

export interface ServeAgentOptions {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** Connections that one step may have open at a time. */
const mostConnections = 64

interface Conversation {
  readonly frames: AgentFrames
  readonly answer: AgentAnswer
  readonly close: () => void
  /** Requests are answered one after the other. */
  queue: Promise<void>
  /** Requests that wait; a client that sends more than it reads answers to is cut off. */
  waiting: number
  unsent: Uint8Array
}

const mostWaiting = 64

/** Bytes of answers that a client may leave unread. */
const mostUnsent = 4 * largestMessage

/**
 * Serves `agent` at a new socket `directory`/`name` with this owner and mode. What connects there can list keys and have
 * them sign, and nothing else. Throws SystemCallError.
 */
export function serveAgent(
  agent: SshAgent,
  directory: string,
  name: string,
  { mode, uid, gid }: ServeAgentOptions,
): ServedAgent {
  const conversations = new Set<Bun.Socket<Conversation>>()
  // The address of a socket holds 107 bytes, less than a path may have.
  const descriptor = open(directory, openFlags.O_PATH | openFlags.O_DIRECTORY)
  let listener: ReturnType<typeof listen>
  try {
    listener = listen(`/proc/self/fd/${descriptor}/${name}`, agent, conversations)
  } finally {
    close(descriptor)
  }
  const path = `${directory}/${name}`
  changeOwnerAt(AT_FDCWD, path, uid, gid)
  changeModeAt(AT_FDCWD, path, mode)
  return {
    close: () => {
      listener.stop(true)
      for (const socket of conversations) socket.terminate()
    },
  }
}

function listen(address: string, agent: SshAgent, conversations: Set<Bun.Socket<Conversation>>) {
  return Bun.listen<Conversation>({
    unix: address,
    socket: {
      open: (socket) => {
        if (conversations.size >= mostConnections) {
          socket.end()
          return
        }
        conversations.add(socket)
        const { answer, close: end } = agent.connect()
        socket.data = {
          frames: new AgentFrames(),
          answer,
          close: end,
          queue: Promise.resolve(),
          waiting: 0,
          unsent: new Uint8Array(),
        }
      },
      data: take,
      drain: (socket) => send(socket, new Uint8Array()),
      close: (socket) => {
        if (conversations.delete(socket)) socket.data.close()
      },
      error: (socket) => void socket.end(),
    },
  })
}

function take(socket: Bun.Socket<Conversation>, bytes: Uint8Array): void {
  const { data } = socket
  // Refused at the door.
  if (data === undefined) return
  let messages: Uint8Array[]
  try {
    messages = data.frames.take(bytes)
  } catch {
    socket.end()
    return
  }
  for (const message of messages) {
    if (++data.waiting > mostWaiting) {
      socket.end()
      return
    }
    data.queue = data.queue.then(async () => {
      const reply = await data.answer(message)
      data.waiting--
      send(socket, framed(reply))
    })
  }
}

/** Writes what is left of earlier answers and `bytes`; what the socket does not take waits for `drain`. */
function send(socket: Bun.Socket<Conversation>, bytes: Uint8Array): void {
  const { data } = socket
  if (data === undefined) return
  const all = data.unsent.length === 0 ? bytes : new Uint8Array(Buffer.concat([data.unsent, bytes]))
  if (all.length === 0) return
  const written = socket.write(all)
  data.unsent = written < 0 ? new Uint8Array() : all.slice(written)
  if (data.unsent.length > mostUnsent) socket.end()
}
