import { errno, isErrno } from '../linux/errno.ts'
import { close, open, openFlags, write } from '../linux/files.ts'
import { connectPackets } from '../linux/packet-socket.ts'
import type { TerminalSize } from '../linux/terminal.ts'
import { attachSocket, controlFile } from '../runtime/monitor.ts'

/** A connection to what a container with a monitor writes and reads. */
export interface Attachment {
  /** Hands bytes to the container's input; waits while it takes none. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  /** Ends the container's input, unless that stays open for others. */
  readonly endInput: () => void
  /** Leaves the container to itself. */
  readonly close: () => void
  /** Settles when the container has ended and all it wrote was handed over, and after close(). */
  readonly closed: Promise<void>
}

/** First byte of a packet: which of the outputs it is of. conmon's `AttachPipe`. */
const stderrMark = 3

/** The monitor reads no more than this at once. */
const longestInput = 8192

/**
 * Attaches to a container by its bundle; what it writes from now on goes to `onOutput`, whose bytes are its own only
 * during the call. Undefined where it does not run. Throws SystemCallError.
 */
export async function attachContainer(
  bundle: string,
  onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void,
): Promise<Attachment | undefined> {
  const socket = await connectPackets(bundle, attachSocket, (packet) =>
    onOutput(packet[0] === stderrMark ? 'stderr' : 'stdout', packet.subarray(1)),
  )
  if (socket === undefined) return undefined
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.length; at += longestInput) await socket.write(bytes.subarray(at, at + longestInput))
    },
    endInput: socket.end,
    close: socket.close,
    closed: socket.closed,
  }
}

/** Sets the size of the terminal of a container with a monitor. Does nothing where it has ended. */
export function resizeMonitored(bundle: string, { columns, rows }: TerminalSize): void {
  try {
    const fd = open(`${bundle}/${controlFile}`, openFlags.O_WRONLY | openFlags.O_NONBLOCK)
    try {
      write(fd, new TextEncoder().encode(`1 ${rows} ${columns}\n`))
    } finally {
      close(fd)
    }
  } catch (error) {
    // Nobody reads from it any more, or it is gone.
    if (!isErrno(error, errno.ENXIO, errno.ENOENT)) throw error
  }
}
