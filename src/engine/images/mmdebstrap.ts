import { CairnError } from '../../errors/error.ts'
import type { ProgressListener } from '../../progress/events.ts'
import { systemProgram } from '../../linux/system-program.ts'

/** One run of mmdebstrap. */
export interface MmdebstrapRun {
  readonly args: readonly string[]
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>
  /** A shell command that prepares what only this run sees, in a mount namespace of its own; `cwd` is where. */
  readonly prepare?: { readonly command: string; readonly cwd: string } | undefined
  /** Told of its steps. */
  readonly progress: ProgressListener
  readonly signal: AbortSignal
}

export interface MmdebstrapResult {
  readonly status: number
  /** Its last lines on stderr, errors (`E: …`) and what came before them. */
  readonly tail: readonly string[]
}

/** How many lines are kept for the report of a failure. */
const tailLength = 20

/**
 * The command that runs mmdebstrap so that it and all it starts end when this process does, however that ends. Throws
 * TOOL_MISSING.
 */
function commandOf({ args, env, prepare }: MmdebstrapRun): string[] {
  const find = (name: string, source: string): string => {
    const found = systemProgram(name, { path: env['PATH'] })
    if (found !== undefined) return found
    throw new CairnError('TOOL_MISSING', `${name} is not installed`, {
      hint: `Install it: \`apt-get install ${source}\`.`,
    })
  }
  const mmdebstrap = find('mmdebstrap', 'mmdebstrap')
  const setpriv = find('setpriv', 'util-linux')
  const unshare = find('unshare', 'util-linux')
  const prepared = prepare === undefined ? [] : ['sh', '-c', `${prepare.command}; exec "$@"`, 'sh']
  // When the first process of a PID namespace is killed the kernel ends apt, dpkg and every package script with it.
  const namespaces = ['--pid', '--fork', '--kill-child=KILL', '--mount', '--propagation=slave']
  return [setpriv, '--pdeathsig=KILL', unshare, ...namespaces, '--', ...prepared, mmdebstrap, ...args]
}

/**
 * Runs mmdebstrap to its end. What it says on stderr becomes progress: each `I: …` line is a step. Throws TOOL_MISSING,
 * and the reason of `signal` when that aborts, after everything has ended.
 */
export async function runMmdebstrap(run: MmdebstrapRun): Promise<MmdebstrapResult> {
  const { env, prepare, progress, signal } = run
  signal.throwIfAborted()
  const child = Bun.spawn(commandOf(run), {
    env,
    cwd: prepare?.cwd ?? '/',
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const kill = (): void => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  const steps = new Steps(progress)
  try {
    await readLines(child.stderr, (line) => steps.line(line))
    const status = await child.exited
    signal.throwIfAborted()
    steps.end(status === 0 ? undefined : `mmdebstrap ended with status ${status}`)
    return { status, tail: steps.tail }
  } catch (error) {
    kill()
    await child.exited
    steps.end(error instanceof Error ? error.message : String(error))
    throw error
  } finally {
    signal.removeEventListener('abort', kill)
  }
}

async function readLines(source: AsyncIterable<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  let pending = ''
  for await (const bytes of source) {
    const lines = (pending + decoder.decode(bytes, { stream: true })).split(/\r?\n|\r/)
    pending = lines.pop() ?? ''
    for (const line of lines) take(line)
  }
  if (pending !== '') take(pending)
}

/**
 * Lines that tell of no work, and apt's warning that downloads are not fetched as another user: only this user may enter
 * the directory, and what is fetched counts by its signature.
 */
const unremarkable = /^(?:I: (?:success in|skipping|chroot architecture)|W: Download is performed unsandboxed) /

/** The steps that mmdebstrap tells of, as vertexes of a progress display; other lines are the log of the step. */
class Steps {
  readonly tail: string[] = []
  readonly #progress: ProgressListener
  #count = 0
  #current: { readonly id: string; readonly name: string; readonly started: number } | undefined

  constructor(progress: ProgressListener) {
    this.#progress = progress
  }

  line(line: string): void {
    if (line.trim() === '' || unremarkable.test(line)) return
    const step = /^I: (.*?)\.*$/.exec(line)?.[1]
    if (step !== undefined) {
      this.end()
      this.#begin(step)
      return
    }
    this.tail.push(line)
    if (this.tail.length > tailLength) this.tail.shift()
    const { id } = this.#current ?? this.#begin('mmdebstrap')
    const data = new TextEncoder().encode(`${line}\n`)
    this.#progress({ type: 'log', vertex: id, stream: 2, data, timestamp: Date.now() })
  }

  #begin(name: string): { readonly id: string } {
    const started = Date.now()
    this.#current = { id: `bootstrap ${++this.#count}`, name, started }
    this.#progress({ type: 'vertex', ...this.#current })
    return this.#current
  }

  end(error?: string): void {
    const current = this.#current
    this.#current = undefined
    if (current === undefined) return
    this.#progress({ type: 'vertex', ...current, completed: Date.now(), ...(error === undefined ? {} : { error }) })
  }
}

/** The error for a run that failed, with what mmdebstrap said. */
export function mmdebstrapFailure({ status, tail }: MmdebstrapResult): CairnError {
  const errors = tail.filter((line) => line.startsWith('E: '))
  const [first = tail.at(-1) ?? `it ended with status ${status}`] = errors.map((line) => line.slice(3))
  return new CairnError('TOOL_FAILED', `mmdebstrap failed: ${first}`, {
    hint: 'What it said is above.',
  })
}
