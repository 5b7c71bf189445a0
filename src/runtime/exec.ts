import { removeFile } from '../linux/names.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import type { RuntimeProcess } from '../oci/runtime-spec.ts'
import { abandonTerminal, resizeContainer } from './container-terminal.ts'
import { lastLoggedError, runtimeError } from './outcome.ts'
import type { RunOptions, TerminalOptions } from './run.ts'
import { detectRuntime, type OciRuntime, planLaunch } from './runtime.ts'

/** What {@link execute} is given. */
export interface ExecuteOptions extends Pick<RunOptions, 'stdin' | 'stdout' | 'stderr'> {
  /** The container. */
  readonly id: string
  readonly runtime: OciRuntime['name']
  /** Where the runtime has its state of the container. */
  readonly root: string
  /** The container has a cgroup of its own. */
  readonly hasCgroup: boolean
  readonly process: RuntimeProcess
  /** Shows the terminal of a process that has one. */
  readonly terminal?: TerminalOptions
  /** Existing directory that nobody else uses, for files of this command. */
  readonly directory: string
  /** Nobody waits for it: settles when it has begun. */
  readonly isDetached: boolean
}

/** A command that was started in a container. */
export interface Execution {
  /**
   * Its exit status, 128 + n after signal n; 0 of a detached one. Rejects with COMMAND_NOT_FOUND,
   * COMMAND_NOT_EXECUTABLE, RUNTIME_FAILED.
   */
  readonly exited: Promise<number>
  /** Sets the size of the caller's terminal. */
  readonly resize: (columns: number, rows: number) => void
  /** Types on its terminal. */
  readonly type: (bytes: Uint8Array) => void
  /** Lets a command with a terminal go on without this process, which is to end now. */
  readonly leave: () => void
}

/** Runs one more command in a running container. Throws RUNTIME_MISSING. */
export function execute(options: ExecuteOptions): Execution {
  const { process: command, directory, root, id, isDetached } = options
  const launch = planLaunch(options.hasCgroup, detectRuntime(options.runtime))
  const { runtime } = launch
  const log = `${directory}/exec.log`
  writeTextFile(`${directory}/process.json`, JSON.stringify(withSize(command, options)))
  const words = [runtime.path, ...launch.globalArguments, '--root', root, '--log', log]
  if (runtime.name === 'runc') words.push('--log-format', 'json')
  words.push('exec', ...(isDetached ? ['--detach'] : []))
  words.push('--process', `${directory}/process.json`, id)
  const shown = Promise.withResolvers<void>()
  const child = launch.spawn(() =>
    Bun.spawn(words, {
      ...streamsOf(options, shown.resolve),
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
    }),
  )
  if (child.terminal === undefined) shown.resolve()

  const finish = async (): Promise<number> => {
    try {
      const status = await child.exited
      await shown.promise
      const message = status === 0 ? undefined : lastLoggedError(runtime.name, readTextFile(log) ?? '')
      if (message !== undefined) throw runtimeError(runtime.name, message, command.args[0] ?? '')
      return status
    } finally {
      removeFile(log)
      removeFile(`${directory}/process.json`)
    }
  }
  const exited = finish()
  exited.catch(() => {})
  return {
    exited,
    resize: (columns, rows) => {
      child.terminal?.resize(columns, rows)
      void resizeContainer(child.pid, { columns, rows })
    },
    type: (bytes) => void child.terminal?.write(bytes),
    leave: abandonTerminal,
  }
}

/** A new terminal has the size of the one it is shown on; later changes reach it as signals. */
function withSize(command: RuntimeProcess, { terminal, isDetached }: ExecuteOptions): RuntimeProcess {
  if (command.terminal !== true || isDetached || terminal === undefined) return command
  return { ...command, consoleSize: { height: terminal.rows, width: terminal.columns } }
}

type Streams = Pick<
  Bun.Spawn.SpawnOptions<Bun.Spawn.Writable, Bun.Spawn.Readable, Bun.Spawn.Readable>,
  'stdin' | 'stdout' | 'stderr' | 'detached' | 'terminal'
>

function streamsOf(options: ExecuteOptions, onEnd: () => void): Streams {
  const { terminal, isDetached } = options
  if (isDetached) return { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore', detached: true }
  if (terminal !== undefined) {
    const { columns, rows, onData } = terminal
    return { terminal: { cols: columns, rows, data: (_, bytes) => onData(bytes), exit: onEnd } }
  }
  const stdin = options.stdin === undefined || options.stdin === 'none' ? 'ignore' : options.stdin
  return { stdin, stdout: options.stdout ?? 'inherit', stderr: options.stderr ?? 'inherit', detached: true }
}
