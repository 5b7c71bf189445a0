import type { StartedContainer, StartOptions } from '../containers/start-container.ts'
import { CairnError } from '../errors/error.ts'
import { fstat } from '../linux/file-status.ts'
import type { ByteSource } from '../streams/source.ts'
import type { CommandContext, Output } from './context.ts'
import { invalidArgument } from './flag-argument.ts'

/** What `-i`, `-t`, `-a` and `--sig-proxy` ask for. */
export interface StreamFlags {
  readonly interactive: boolean
  readonly tty: boolean
  readonly attach: readonly string[]
  readonly 'sig-proxy': boolean
}

/** How this process's input and output become those of a container. */
export interface ContainerStreams {
  readonly options: StartOptions
  /** Moves what has to be moved; settles when all output has arrived. */
  readonly attach: (container: StartedContainer) => Promise<void>
}

/**
 * Decides how a container gets this process's input and output. Pipes and /dev/null are handed over as they are: bytes,
 * end of input and a reader that left then need nobody in between. Files, sockets and terminals are not, since through
 * /proc/self/fd a container could open them anew and do more with them than write to their end.
 *
 * Throws USAGE; status 1 where a terminal is asked for and input is none.
 */
export function containerStreams(ctx: CommandContext, flags: StreamFlags): ContainerStreams {
  const attached = attachedStreams(flags)
  const options = flags['sig-proxy'] ? { forwardSignals: true } : { signal: ctx.signal }
  if (flags.tty) return terminalStreams(ctx, attached, options)

  const stdin = !attached.stdin ? 'none' : isHarmless(0) ? 'inherit' : 'pipe'
  const stdout = !attached.stdout ? 'ignore' : isHarmless(1) ? 'inherit' : 'pipe'
  const stderr = !attached.stderr ? 'ignore' : isHarmless(2) ? 'inherit' : 'pipe'
  return {
    options: { ...options, stdin, stdout, stderr },
    attach: async (container) => {
      if (container.stdin !== undefined) void copyInput(ctx, container)
      await Promise.all([copyOutput(container.stdout, ctx.stdout), copyOutput(container.stderr, ctx.stderr)])
    },
  }
}

interface Attached {
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
}

function attachedStreams({ attach, interactive }: StreamFlags): Attached {
  const wanted = new Set(attach.map((name) => name.toLowerCase()))
  for (const name of attach)
    if (!['stdin', 'stdout', 'stderr'].includes(name.toLowerCase()))
      throw invalidArgument(name, '-a, --attach', 'valid streams are STDIN, STDOUT and STDERR')
  const all = wanted.size === 0
  return {
    stdin: interactive && (all || wanted.has('stdin')),
    stdout: all || wanted.has('stdout'),
    stderr: all || wanted.has('stderr'),
  }
}

/** A terminal that is used in both directions is handed over to the runtime; else what the container writes is copied. */
function terminalStreams(ctx: CommandContext, attached: Attached, options: StartOptions): ContainerStreams {
  if (attached.stdin && !ctx.stdin.isTTY)
    throw new CairnError('USAGE', 'the input device is not a TTY', {
      exitCode: 1,
      hint: 'Leave out -t to pipe into the container, or -i where it reads nothing.',
    })
  if (attached.stdin && attached.stdout)
    return { options: { ...options, terminal: 'inherit' }, attach: () => Promise.resolve() }

  const { columns, rows } = ctx.stdout
  let failure: unknown
  const onData = (bytes: Uint8Array): void => {
    if (!attached.stdout || failure !== undefined) return
    try {
      ctx.stdout.write(bytes)
    } catch (error) {
      failure = error
    }
  }
  return {
    options: { ...options, terminal: { columns, rows, onData } },
    attach: async (container) => {
      const stop = ctx.stdout.onResize(() => container.resize(ctx.stdout.columns, ctx.stdout.rows))
      try {
        await container.exited
      } finally {
        stop()
      }
      if (failure !== undefined) throw failure
    },
  }
}

/** The character device of /dev/null, devices.txt. */
const nullDevice = { major: 1, minor: 3 }

function isHarmless(fd: number): boolean {
  try {
    const { type, rdevMajor, rdevMinor } = fstat(fd)
    const isNull = type === 'character-device' && rdevMajor === nullDevice.major && rdevMinor === nullDevice.minor
    return type === 'fifo' || isNull
  } catch {
    // It was closed before Cairn began; copying finds an end at once.
    return false
  }
}

async function copyInput(ctx: CommandContext, { stdin }: StartedContainer): Promise<void> {
  try {
    for await (const chunk of ctx.stdin.bytes()) await stdin?.write(chunk)
  } catch {
    // What cannot be read any more has ended.
  }
  await stdin?.end()
}

async function copyOutput(source: ByteSource | undefined, output: Output): Promise<void> {
  if (source !== undefined) await output.writeFrom(source)
}
