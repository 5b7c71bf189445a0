import type { StartedContainer, StartOptions } from '../../containers/start-container.ts'
import type { ExecStreams } from '../../engine/containers/exec-container.ts'
import type { ContainerStreams } from '../../engine/containers/run-container.ts'
import { fstat } from '../../linux/file-status.ts'
import { close } from '../../linux/files.ts'
import { openPipe } from '../../linux/pipes.ts'
import type { CommandContext } from '../context.ts'
import { attachedStreams } from './attached-streams.ts'

/** What `-i`, `-a` and `--sig-proxy` ask for. */
export interface StreamFlags {
  readonly interactive: boolean
  readonly attach: readonly string[]
  readonly 'sig-proxy': boolean
}

/** How a container without a terminal gets this process's input and output. Throws USAGE. */
export function containerStreams(ctx: CommandContext, flags: StreamFlags): ContainerStreams {
  const names = attachedStreams(flags)
  const attached = {
    stdin: names.includes('stdin'),
    stdout: names.includes('stdout'),
    stderr: names.includes('stderr'),
  }
  return new PipeStreams(attached, flags['sig-proxy'] ? { forwardSignals: true } : { signal: ctx.signal })
}

type PipeOptions = Omit<StartOptions, 'terminal'>

interface Attached {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
}

/**
 * Input and output without a terminal. Pipes and /dev/null are handed over as they are: bytes, end of input and a reader
 * that left then need nobody in between. Files, sockets and terminals are not, since through /proc/self/fd a container
 * could open them anew and do more with them than read or write on. For these a `cat` stands in between: this thread must
 * not read from a pipe that a container writes to, because sendfile(2) can hold the pipe's lock for as long as the
 * container likes, and a reader that waits for that cannot even be killed.
 */
export class PipeStreams implements ContainerStreams, ExecStreams {
  readonly #attached: Attached
  readonly #common: PipeOptions
  /** The container's ends of pipes, to be closed once it has them. */
  readonly #ends: number[] = []
  readonly #outputs: Bun.Subprocess[] = []
  #input: Bun.Subprocess | undefined

  constructor(attached: Attached, common: PipeOptions = {}) {
    this.#attached = attached
    this.#common = common
  }

  open(): PipeOptions {
    const { stdin, stdout, stderr } = this.#attached
    return {
      ...this.#common,
      stdin: !stdin ? 'none' : isHarmless(0) ? 'inherit' : this.#pumpInput(),
      stdout: !stdout ? 'ignore' : isHarmless(1) ? 'inherit' : this.#pumpOutput(1),
      stderr: !stderr ? 'ignore' : isHarmless(2) ? 'inherit' : this.#pumpOutput(2),
    }
  }

  async attach(container: Pick<StartedContainer, 'exited'>): Promise<'ended'> {
    this.#closeEnds()
    await container.exited.catch(() => {})
    await Promise.all(this.#outputs.map((output) => output.exited))
    return 'ended'
  }

  /** In this process group, so that a shell can stop it when it reads from the terminal in the background. */
  #pumpInput(): number {
    const { read, write } = openPipe()
    this.#ends.push(read)
    const command = ['/bin/sh', '-c', 'trap "" HUP INT QUIT TERM; exec cat']
    this.#input = spawnPump(command, { stdin: 'inherit', stdout: write }, write)
    return read
  }

  /** In a session of its own: what Ctrl-C means is the container's to decide, and its last words are to be read. */
  #pumpOutput(fd: 1 | 2): number {
    const { read, write } = openPipe()
    this.#ends.push(write)
    this.#outputs.push(spawnPump(['cat'], { stdin: read, stdout: fd, detached: true }, read))
    return write
  }

  #closeEnds(): void {
    for (const end of this.#ends.splice(0)) close(end)
  }

  [Symbol.dispose](): void {
    this.#closeEnds()
    this.#input?.kill('SIGKILL')
  }
}

interface PumpStreams {
  readonly stdin: 'inherit' | number
  readonly stdout: number
  readonly detached?: boolean
}

function spawnPump(command: string[], streams: PumpStreams, end: number): Bun.Subprocess {
  try {
    const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' }
    return Bun.spawn(command, { ...streams, stderr: 'ignore', cwd: '/', env })
  } finally {
    close(end)
  }
}

/** The character device of /dev/null, devices.txt. */
const nullDevice = { major: 1, minor: 3 }

function isHarmless(fd: number): boolean {
  const { type, rdevMajor, rdevMinor } = fstat(fd)
  if (type === 'fifo') return true
  return type === 'character-device' && rdevMajor === nullDevice.major && rdevMinor === nullDevice.minor
}
