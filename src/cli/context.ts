import { defaultRoot } from '../content/default-root.ts'
import { CairnError } from '../errors/error.ts'
import type { Terminal } from './containers/terminal.ts'

/** Where a command writes. */
export interface Output {
  readonly isTTY: boolean
  /** Width in cells; 80 where it is no terminal. */
  readonly columns: number
  /** Height in lines; 24 where it is no terminal. */
  readonly rows: number
  /**
   * Writes all of it before returning. When the reader of stdout has gone the command ends quietly with status 141,
   * as a shell reports SIGPIPE; when stderr's has, the text is dropped.
   */
  write(data: string | Uint8Array): void
  /** Writes a stream to its end without blocking signals and timers, waiting whenever the reader does. */
  writeFrom(source: AsyncIterable<Uint8Array>): Promise<void>
  /** Calls `listener` when the terminal's size has changed; the result stops that. */
  onResize(listener: () => void): () => void
}

/** Where a command reads. */
export interface Input {
  readonly isTTY: boolean
  /** The bytes of stdin until its end. */
  bytes(): AsyncIterable<Uint8Array>
  /** The next line without its newline, or undefined at the end. */
  line(): Promise<string | undefined>
}

/** What every command receives. */
export interface CommandContext {
  /** The words the command was called by: `image ls`. */
  readonly path: string
  readonly stdin: Input
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /**
   * Aborted, with a CANCELED error as reason, by the first SIGINT or SIGTERM. The handlers exist from the first time
   * this is read; before that, and at the second signal, the process ends at once.
   */
  readonly signal: AbortSignal
  /** Starts the layer thread; undefined where the entry file has none. */
  readonly startWorker: (() => Worker) | undefined
  /** `--debug` or CAIRN_DEBUG=1. */
  readonly debug: boolean
  /** The store: `--root`, else CAIRN_ROOT, else /var/lib/cairn for root and $XDG_DATA_HOME/cairn for others. */
  readonly root: string
  /** Folder of docker's config.json: `--config`, else DOCKER_CONFIG, else ~/.docker. */
  readonly configDir: string
  /** True when the flag of this name was written on the command line. */
  given(flag: string): boolean
  /**
   * What `open` makes, made once per command however often asked for, and disposed of when the command ends, last
   * opened first. `open` itself is the key, so pass a function of a module, not a closure.
   */
  use<Resource extends object>(open: (ctx: CommandContext) => Promise<Resource> | Resource): Promise<Resource>
}

/** What the global flags and the environment say; undefined where they say nothing. */
export interface GlobalSettings {
  readonly debug: boolean
  readonly root: string | undefined
  readonly configDir: string | undefined
}

/** A context and how to end it. */
export interface OpenContext extends AsyncDisposable {
  readonly ctx: CommandContext
  /** The exit status a signal asked for, once one has arrived. */
  readonly signalStatus: () => number | undefined
}

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const

/** Makes the context of one command. Dispose of it when the command has ended. */
export function openContext(
  path: string,
  given: ReadonlySet<string>,
  env: Readonly<Record<string, string | undefined>>,
  settings: GlobalSettings,
  terminal: Terminal,
  startWorker?: () => Worker,
): OpenContext {
  const resources = new Map<unknown, Promise<object>>()
  const opened: object[] = []
  const signals = new SignalWatch()
  const ctx: CommandContext = {
    path,
    stdin: terminal.stdin,
    stdout: terminal.stdout,
    stderr: terminal.stderr,
    env,
    get cwd() {
      return process.cwd()
    },
    get signal() {
      return signals.watch()
    },
    startWorker,
    debug: settings.debug,
    get root() {
      return settings.root ?? defaultRoot(env, process.getuid?.() ?? 0)
    },
    get configDir() {
      return settings.configDir ?? (nonEmpty(env['DOCKER_CONFIG']) || `${homeOf(env)}/.docker`)
    },
    given: (flag) => given.has(flag),
    use<Resource extends object>(open: (ctx: CommandContext) => Promise<Resource> | Resource): Promise<Resource> {
      const known = resources.get(open)
      if (known !== undefined) return known as Promise<Resource>
      const made = (async () => {
        const resource = await open(ctx)
        opened.push(resource)
        return resource
      })()
      resources.set(open, made)
      return made
    },
  }
  return {
    ctx,
    signalStatus: () => signals.status,
    async [Symbol.asyncDispose]() {
      signals.stop()
      await Promise.allSettled(resources.values())
      for (const resource of opened.reverse()) await dispose(resource)
    },
  }
}

async function dispose(resource: object): Promise<void> {
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: now } = resource as Partial<AsyncDisposable & Disposable>
  if (later !== undefined) await later.call(resource)
  else now?.call(resource)
}

class SignalWatch {
  status: number | undefined
  readonly #controller = new AbortController()
  #watching = false
  readonly #handle = (name: NodeJS.Signals): void => {
    const status = 128 + (name === 'SIGTERM' ? signalNumbers.SIGTERM : signalNumbers.SIGINT)
    if (this.status !== undefined) process.exit(status)
    this.status = status
    this.#controller.abort(new CairnError('CANCELED', 'canceled', { exitCode: status }))
  }

  watch(): AbortSignal {
    if (!this.#watching) {
      this.#watching = true
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, this.#handle)
    }
    return this.#controller.signal
  }

  stop(): void {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, this.#handle)
  }
}

function homeOf(env: Readonly<Record<string, string | undefined>>): string {
  const home = nonEmpty(env['HOME'])
  if (home === undefined)
    throw new CairnError('USAGE', 'HOME is not set, so Cairn does not know where your files are', {
      hint: 'Set HOME, or give --root and --config.',
    })
  return home
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
