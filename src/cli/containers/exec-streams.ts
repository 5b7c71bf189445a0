import type { ExecStreams } from '../../engine/containers/exec-container.ts'
import { usageError } from '../../errors/error.ts'
import type { Execution, ExecuteOptions } from '../../runtime/exec.ts'
import type { CommandContext } from '../context.ts'
import { PipeStreams } from './container-streams.ts'
import { makeRawUntilExit, passInput } from './typed-input.ts'

/** What `-i` and `-t` ask for. */
export interface ExecStreamFlags {
  readonly interactive: boolean
  readonly tty: boolean
}

/**
 * How a command in a container gets this process's input and output. Throws USAGE with status 1 where a terminal is asked
 * for and input is none.
 *
 * @param detachKeys - bytes of {@link import('./detach-keys.ts').parseDetachKeys}
 */
export function execStreams(
  ctx: CommandContext,
  { interactive, tty }: ExecStreamFlags,
  detachKeys: readonly number[],
): ExecStreams {
  if (!tty) return new PipeStreams({ stdin: interactive, stdout: true, stderr: true })
  if (interactive && !ctx.stdin.isTTY)
    throw usageError('the input device is not a TTY', {
      hint: 'Leave out -t to pipe into the container, or -i where it reads nothing.',
    })
  return new ShownTerminal(ctx, interactive ? detachKeys : undefined)
}

/**
 * A terminal of the command's own, shown on the one of this process and with its size. What is typed there goes through
 * here, so that its user can leave.
 */
class ShownTerminal implements ExecStreams {
  readonly #ctx: CommandContext
  /** Undefined where nothing is typed. */
  readonly #detachKeys: readonly number[] | undefined
  #restore: (() => void) | undefined
  #failure: unknown

  constructor(ctx: CommandContext, detachKeys: readonly number[] | undefined) {
    this.#ctx = ctx
    this.#detachKeys = detachKeys
  }

  open(): Pick<ExecuteOptions, 'terminal'> {
    const { columns, rows } = this.#ctx.stdout
    // Before the command can show anything, which is meant for a raw terminal.
    if (this.#detachKeys !== undefined) this.#restore = makeRawUntilExit()
    return { terminal: { columns, rows, onData: (bytes) => this.#show(bytes) } }
  }

  async attach(execution: Execution): Promise<'ended' | 'detached'> {
    const { stdout } = this.#ctx
    const stop = stdout.onResize(() => execution.resize(stdout.columns, stdout.rows))
    try {
      const ended = execution.exited.then(
        () => 'ended' as const,
        () => 'ended' as const,
      )
      const how = await Promise.race([ended, this.#passInput(execution)])
      if (this.#failure !== undefined) throw this.#failure
      if (how === 'detached') execution.leave()
      return how
    } finally {
      stop()
    }
  }

  /** Settles when the detach keys come, else never. */
  async #passInput(execution: Execution): Promise<'detached'> {
    if (this.#detachKeys === undefined) return await new Promise(() => {})
    const how = await passInput(this.#ctx, this.#detachKeys, execution.type)
    return how === 'detached' ? how : await new Promise(() => {})
  }

  #show(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return
    try {
      this.#ctx.stdout.write(bytes)
    } catch (error) {
      this.#failure = error
    }
  }

  [Symbol.dispose](): void {
    this.#restore?.()
  }
}
