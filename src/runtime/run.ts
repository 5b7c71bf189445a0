import type { FileSink } from 'bun'
import { CairnError } from '../errors/error.ts'
import { AT_FDCWD, close } from '../linux/files.ts'
import { inMountNamespaceCopy } from '../linux/mount-namespace.ts'
import { removeDirectoryAt, removeFile } from '../linux/names.ts'
import { openPipe, type Pipe, readPipe } from '../linux/pipes.ts'
import { signalProcess } from '../linux/processes.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { relaySignals, type SignalName, signalNumbers } from '../linux/signals.ts'
import { terminalSize } from '../linux/terminal.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { type ByteSource } from '../streams/source.ts'
import { writeBundle } from './bundle.ts'
import { hasTerminal, lendTerminal, resizeContainer } from './container-terminal.ts'
import { guardContainer } from './guard.ts'
import { lastLoggedError, runtimeError } from './outcome.ts'
import { checkRootFileSystem } from './root-file-system.ts'
import type { OciRuntime, RuntimeLaunch } from './runtime.ts'
import { containerInit, ownStateDirectory } from './state.ts'

/** Where an output of the container goes: a file descriptor stays the caller's to close. */
export type OutputTarget = 'pipe' | 'inherit' | 'ignore' | number

/** A pseudo-terminal that the caller shows somewhere else than on its own terminal. */
export interface TerminalOptions {
  readonly columns: number
  readonly rows: number
  /** Called with what the container writes; the bytes are the caller's to keep. */
  readonly onData: (bytes: Uint8Array) => void
}

/**
 * Reads what comes out of a pipe until its last writer is gone; takes over both ends and closes them, the one to write
 * on at once. A container can hold the lock of a pipe that it writes to (by sendfile(2) from a socket without data) for
 * as long as it likes, and whoever reads from or closes such a pipe waits, not to be woken by any signal. So a thread
 * that has to end the container had better leave both to another.
 */
export type OutputReader = (ends: Pipe) => ByteSource

/** Reads on this thread. */
const readHere: OutputReader = ({ read, write }) => {
  close(write)
  return readPipe(read)
}

/** What {@link run} is given. */
export interface RunOptions {
  /** Unique among the containers of `stateDirectory`; letters, digits, `_`, `-`, `.`. */
  readonly id: string
  readonly spec: RuntimeSpec
  /** Existing directory that takes config.json and the runtime's log; this container's alone. */
  readonly bundle: string
  /** Directory of all containers' state, made if absent; see {@link import('./state.ts').reapAbandoned}. */
  readonly stateDirectory: string
  /** The runtime to use, the best one at hand if absent. */
  readonly runtime?: OciRuntime | undefined
  /** `none`, which is the default, is /dev/null. */
  readonly stdin?: 'none' | 'inherit' | 'pipe' | number
  readonly stdout?: OutputTarget
  readonly stderr?: OutputTarget
  /** Reads the outputs that are pipes, on this thread if absent. */
  readonly readOutput?: OutputReader | undefined
  /**
   * With `process.terminal` in the spec: `inherit` (the default) hands over this process's own terminal, raw and with
   * its size followed; else a new one. Decides about stdin, stdout and stderr then.
   */
  readonly terminal?: 'inherit' | TerminalOptions
  /** Kills the container; `exited` then rejects with CANCELED. */
  readonly signal?: AbortSignal
  /** Mounts the root file system where the runtime alone sees it; without it that is mounted already. */
  readonly mountRoot?: () => void
  /** Signals that reach this process go to the container instead (`--sig-proxy`). */
  readonly forwardSignals?: boolean
}

/** Input of a container. Writing after its end does nothing. */
export interface ContainerInput {
  /** Resolves when there is room for more. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly end: () => Promise<void>
}

/** A container that was started by {@link run}. */
export interface RunningContainer {
  readonly id: string
  /**
   * Output where `pipe` was asked for: must be read to its end or left by `return()`, else the container stops when
   * 64 KiB are waiting. Holds 64 KiB at most.
   */
  readonly stdout: ByteSource | undefined
  readonly stderr: ByteSource | undefined
  /** Where stdin is `pipe` or the terminal is the caller's. */
  readonly stdin: ContainerInput | undefined
  /**
   * Exit status of the container's command, 128 + n after signal n. Settles when all of the container's processes are
   * gone. Rejects with COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, RUNTIME_FAILED or CANCELED.
   */
  readonly exited: Promise<number>
  /** Sends a signal to the container's first process, waiting for it to start. False when it has ended. */
  readonly kill: (signal: number | SignalName) => Promise<boolean>
  /** Sets the size of the caller's terminal. */
  readonly resize: (columns: number, rows: number) => void
}

/**
 * Starts a container in the foreground of the OCI runtime, which takes care of its end. Returns at once; whether it
 * started is told by `exited`. Must be called on the thread that made the mounts the spec names.
 *
 * Throws CONFIG_INVALID for a root file system that is no place to mount on, RUNTIME_MISSING, CANCELED when the signal was aborted before, SystemCallError for an unwritable bundle.
 */
export function run(options: RunOptions): RunningContainer {
  const { id, signal } = options
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id)) throw new TypeError(`not a container id: ${JSON.stringify(id)}`)
  if (signal?.aborted === true) throw canceled()
  if (options.mountRoot === undefined) checkRootFileSystem(options.spec.root.path)
  const ownState = ownStateDirectory(options.stateDirectory)
  const spec = withSize(options.spec, options.terminal)
  const launch = writeBundle({ ...options, spec })
  const runtimeRoot = `${ownState}/${launch.runtime.name}`
  const state = `${runtimeRoot}/${id}`
  const log = `${options.bundle}/runtime.log`
  removeFile(log)

  const ownTerminal = usesOwnTerminal(options) ? lendTerminal() : undefined
  const release = guardContainer(state)
  const started = spawnOrRelease(
    () => spawnRuntime(options, launch, runtimeRoot, log),
    () => {
      release()
      ownTerminal?.release()
    },
  )
  const { child } = started
  ownTerminal?.follow(child.pid)
  const running = { ended: false }
  runningContainers++
  const kill = (wanted: number | SignalName): Promise<boolean> =>
    signalInit(state, typeof wanted === 'number' ? wanted : signalNumbers[wanted], running)
  const stopForwarding = options.forwardSignals === true ? relaySignals((name) => void kill(name)) : undefined
  const onAbort = (): void => void kill('SIGKILL')
  signal?.addEventListener('abort', onAbort)

  const finish = async (): Promise<number> => {
    try {
      await child.exited
      // What the terminal still holds may come after the news of its process's end.
      await started.shown
      return exitStatus(child, { launch, log, state, spec, canceled: signal?.aborted === true })
    } finally {
      running.ended = true
      signal?.removeEventListener('abort', onAbort)
      stopForwarding?.()
      ownTerminal?.release()
      release()
      if (--runningContainers === 0) removeOwnState(runtimeRoot, ownState)
    }
  }
  const exited = finish()
  // Whoever is still reading output has not looked at `exited` yet; that is no unhandled rejection.
  exited.catch(() => {})
  return {
    id,
    stdout: started.stdout,
    stderr: started.stderr,
    stdin: started.stdin,
    exited,
    kill,
    resize: (columns, rows) => {
      child.terminal?.resize(columns, rows)
      void resizeContainer(child.pid, { columns, rows })
    },
  }
}

/** A new terminal has the size of the one it is shown on; later changes reach it as signals. */
function withSize(spec: RuntimeSpec, terminal: RunOptions['terminal']): RuntimeSpec {
  if (spec.process.terminal !== true || spec.process.consoleSize !== undefined) return spec
  const isOwn = terminal === undefined || terminal === 'inherit'
  if (isOwn && !hasTerminal()) return spec
  const { columns, rows } = isOwn ? terminalSize(0) : terminal
  return { ...spec, process: { ...spec.process, consoleSize: { height: rows, width: columns } } }
}

function spawnOrRelease<Result>(spawn: () => Result, release: () => void): Result {
  try {
    return spawn()
  } catch (error) {
    release()
    throw error
  }
}

/** How many containers this process has. */
let runningContainers = 0

/** Removes the process's own directories when they are empty; what is left after a kill is for reapAbandoned(). */
function removeOwnState(...directories: readonly string[]): void {
  try {
    for (const directory of directories) removeDirectoryAt(AT_FDCWD, directory)
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
  }
}

interface Started {
  readonly child: ReturnType<typeof spawnChild>
  readonly stdout: ByteSource | undefined
  readonly stderr: ByteSource | undefined
  readonly stdin: ContainerInput | undefined
  /** Settles when the caller has got all that was written to its terminal. */
  readonly shown?: Promise<void>
}

function spawnRuntime(options: RunOptions, planned: RuntimeLaunch, runtimeRoot: string, log: string): Started {
  const { runtime } = planned
  const { mountRoot } = options
  const prepare = (): void => {
    mountRoot?.()
    checkRootFileSystem(options.spec.root.path)
  }
  const launch: RuntimeLaunch =
    mountRoot === undefined
      ? planned
      : { ...planned, spawn: (start) => planned.spawn(() => inMountNamespaceCopy(prepare, start)) }
  const command = [runtime.path, ...launch.globalArguments, '--root', runtimeRoot, '--log', log]
  if (runtime.name === 'runc') command.push('--log-format', 'json')
  command.push('run', '--bundle', options.bundle, options.id)

  if (options.spec.process.terminal === true) {
    const shown = Promise.withResolvers<void>()
    const child = launch.spawn(() => spawnChild(command, terminalStreams(options.terminal, shown.resolve)))
    const terminal = child.terminal
    if (terminal === undefined) shown.resolve()
    const stdin: ContainerInput | undefined =
      terminal === undefined
        ? undefined
        : { write: async (bytes) => void terminal.write(bytes), end: async () => void terminal.write('\u0004') }
    return { child, stdin, stdout: undefined, stderr: undefined, shown: shown.promise }
  }
  const outputs = [options.stdout ?? 'inherit', options.stderr ?? 'inherit'].map((target) =>
    target === 'pipe' ? openPipe() : target,
  )
  const [stdout = 'ignore', stderr = 'ignore'] = outputs.map((output) =>
    typeof output === 'object' ? output.write : output,
  )
  const stdin = options.stdin === undefined || options.stdin === 'none' ? 'ignore' : options.stdin
  try {
    const child = launch.spawn(() => spawnChild(command, { stdin, stdout, stderr, detached: true }))
    const { readOutput = readHere } = options
    const [stdoutSource, stderrSource] = outputs.map((output) =>
      typeof output === 'object' ? readOutput(output) : undefined,
    )
    const sink = child.stdin
    return {
      child,
      stdout: stdoutSource,
      stderr: stderrSource,
      stdin: typeof sink === 'object' ? inputOf(sink) : undefined,
    }
  } catch (error) {
    for (const output of outputs) if (typeof output === 'object') closePipe(output)
    throw error
  }
}

function closePipe({ read, write }: Pipe): void {
  close(read)
  close(write)
}

type Streams = Pick<
  Bun.Spawn.SpawnOptions<Bun.Spawn.Writable, Bun.Spawn.Readable, Bun.Spawn.Readable>,
  'stdin' | 'stdout' | 'stderr' | 'detached' | 'terminal'
>

/**
 * In a session of its own unless it needs the terminal: Ctrl-C goes to the foreground process group, and what it means
 * for the container is Cairn's to decide. The environment is kept from the runtime; NOTIFY_SOCKET and LISTEN_FDS mean
 * something to it.
 */
function spawnChild(command: string[], streams: Streams) {
  return Bun.spawn(command, {
    ...streams,
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
  })
}

function terminalStreams(terminal: RunOptions['terminal'], onEnd: () => void): Streams {
  if (terminal === undefined || terminal === 'inherit')
    return { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' }
  const { columns, rows, onData } = terminal
  return { terminal: { cols: columns, rows, data: (_, bytes) => onData(bytes), exit: onEnd } }
}

function usesOwnTerminal({ spec, terminal }: RunOptions): boolean {
  return spec.process.terminal === true && (terminal === undefined || terminal === 'inherit') && hasTerminal()
}

function inputOf(sink: FileSink): ContainerInput {
  let open = true
  const guarded = async (action: () => unknown): Promise<void> => {
    if (!open) return
    try {
      await action()
    } catch {
      // EPIPE: the container does not read any more, as is its right.
      open = false
    }
  }
  return {
    write: (bytes) =>
      guarded(async () => {
        await sink.write(bytes)
        await sink.flush()
      }),
    end: () =>
      guarded(async () => {
        open = false
        await sink.end()
      }),
  }
}

/** How often to look for an init process that does not exist yet, in milliseconds. A start takes 5 to 30. */
const pollInterval = 2

async function signalInit(state: string, signal: number, running: { readonly ended: boolean }): Promise<boolean> {
  while (!running.ended) {
    const init = containerInit(state)
    if (init !== undefined) return signalProcess(init, signal)
    await Bun.sleep(pollInterval)
  }
  return false
}

interface Ending {
  readonly launch: RuntimeLaunch
  readonly log: string
  readonly state: string
  readonly spec: RuntimeSpec
  readonly canceled: boolean
}

function exitStatus(child: ReturnType<typeof spawnChild>, ending: Ending): number {
  const { name } = ending.launch.runtime
  if (child.exitCode === null) {
    // The runtime itself was killed: its container goes on without anybody to wait for it.
    const init = containerInit(ending.state)
    if (init !== undefined) signalProcess(init, signalNumbers.SIGKILL)
    removeTree(ending.state)
    if (!ending.canceled)
      throw new CairnError('RUNTIME_FAILED', `${name} was killed by ${child.signalCode}`, { exitCode: 125 })
  }
  if (ending.canceled) throw canceled()
  if (child.exitCode === 0 || child.exitCode === null) return 0
  const message = lastLoggedError(name, readTextFile(ending.log) ?? '')
  if (message !== undefined) throw runtimeError(name, message, ending.spec.process.args[0] ?? '')
  return child.exitCode
}

function canceled(): CairnError {
  return new CairnError('CANCELED', 'the container was stopped')
}
