import type { FailedCommand } from '../../build/running-step.ts'
import { type CairnError, isCairnError, usageError, reworded } from '../../errors/error.ts'
import type { DisplayMode } from '../../progress/display.ts'
import type { BuildProgress } from './build-progress.ts'
import { buildFailure } from './build-report.ts'
import type { CommandContext } from '../context.ts'

/** `build --on-error shell`: shows the failure and lets the user look around where it happened. */
export class FailureShell {
  readonly #ctx: CommandContext
  readonly #mode: DisplayMode
  readonly #progress: BuildProgress
  /** What the build fails with, once its report was shown. */
  failure: CairnError | undefined

  /** Throws USAGE (status 1) where this process has no terminal to hand over. */
  constructor(ctx: CommandContext, mode: DisplayMode, progress: BuildProgress) {
    if (!ctx.stdin.isTTY || !ctx.stdout.isTTY)
      throw usageError('--on-error shell: the input device is not a TTY', {
        hint: 'Run it on a terminal, or leave --on-error out.',
      })
    this.#ctx = ctx
    this.#mode = mode
    this.#progress = progress
  }

  /** Reports the failure, opens the shell and waits for its end; the build then ends with the command's own status. */
  readonly open = async ({ error, status, openShell }: FailedCommand): Promise<void> => {
    const { stderr, signal } = this.#ctx
    this.#progress.finish()
    const reported = buildFailure(this.#ctx, error, this.#mode)
    const told = isCairnError(reported) ? reported : error
    const { message } = told
    this.failure = reworded(told, message, { cause: error, exitCode: status })
    stderr.write(
      `cairn: ${message}\n\nA shell where this happened. What you change is discarded; the build ends with it.\n`,
    )
    try {
      await openShell(signal)
    } catch (reason) {
      if (!isCairnError(reason) || reason.code === 'CANCELED') throw reason
      stderr.write(`There is no shell: ${reason.message}\n`)
    }
  }
}
