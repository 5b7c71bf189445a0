import { createDisplay } from '../../progress/create-display.ts'
import type { Display, DisplayMode } from '../../progress/display.ts'
import type { ProgressListener, WarningEvent } from '../../progress/events.ts'
import { renderWarnings } from '../../progress/warnings.ts'
import type { CommandContext } from '../context.ts'

/** What a build shows on stderr: its steps while it runs, and below them the warnings that came. */
export class BuildProgress {
  readonly listener: ProgressListener
  readonly #ctx: CommandContext
  readonly #mode: DisplayMode
  readonly #display: Display
  /** Those that came so far. */
  readonly warnings: WarningEvent[] = []
  #isFinished = false

  /** `also` gets every event too. Throws as createDisplay. */
  constructor(ctx: CommandContext, mode: DisplayMode, also: ProgressListener = () => {}) {
    this.#ctx = ctx
    this.#mode = mode
    this.#display = createDisplay(mode, ctx.stderr, ctx.env)
    this.listener = (event) => {
      if (event.type === 'warning') this.warnings.push(event)
      also(event)
      this.#display.handle(event)
    }
  }

  /** Shows what the store has to say, a line without its end, where it spoils neither the steps nor their JSON. */
  tell(message: string): void {
    if (this.#mode === 'rawjson') return
    if (this.#isFinished || this.#display.note === undefined) this.#ctx.stderr.write(`${message}\n`)
    else this.#display.note(message)
  }

  /** Ends the display; warnings are listed whether the build went well or not, as docker does. Once. */
  finish(): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.#display.finish()
    if (this.#mode === 'quiet' || this.#mode === 'none' || this.#mode === 'rawjson') return
    const { stderr, env, debug } = this.#ctx
    const colored = stderr.isTTY && (env['NO_COLOR'] ?? '') === ''
    stderr.write(renderWarnings(this.warnings, { expanded: debug, colored }))
  }
}
