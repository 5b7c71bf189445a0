import type { DisplaySink } from './display.ts'
import { formatBytes } from './quantities.ts'
import type { TransferEvent } from './transfer-events.ts'

/** Shows a push or pull as docker does. */
export interface TransferDisplay {
  /** Takes one event in. */
  handle(event: TransferEvent): void
  /** Shows what is still unshown. Must be called on every path; may be called twice. */
  finish(): void
}

/** Milliseconds between two paints. */
const tick = 100
const barWidth = 50

/** A live line for each layer on a terminal, elsewhere a line for each change; nothing with `isQuiet`. */
export function createTransferDisplay(
  sink: DisplaySink,
  {
    isQuiet = false,
    env = {},
  }: { readonly isQuiet?: boolean; readonly env?: Readonly<Record<string, string | undefined>> } = {},
): TransferDisplay {
  if (isQuiet) return { handle: () => {}, finish: () => {} }
  return sink.isTTY && env['TERM'] !== 'dumb' ? new LiveTransfer(sink) : new PlainTransfer(sink)
}

/** docker's output without a terminal: every change of a layer is a line, progress is none. */
class PlainTransfer implements TransferDisplay {
  readonly #sink: DisplaySink
  readonly #shown = new Map<string, string>()

  constructor(sink: DisplaySink) {
    this.#sink = sink
  }

  handle({ id, text, current }: TransferEvent): void {
    if (id === undefined) this.#sink.write(`${text}\n`)
    else if (current === undefined && this.#shown.get(id) !== text) this.#sink.write(`${id}: ${text}\n`)
    if (id !== undefined && current === undefined) this.#shown.set(id, text)
  }

  finish(): void {}
}

class LiveTransfer implements TransferDisplay {
  readonly #sink: DisplaySink
  readonly #lines = new Map<string, TransferEvent>()
  #painted = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(sink: DisplaySink) {
    this.#sink = sink
  }

  handle(event: TransferEvent): void {
    const { id } = event
    if (id === undefined) {
      this.finish()
      this.#sink.write(`${event.text}\n`)
      return
    }
    this.#lines.set(id, event)
    this.#timer ??= setTimeout(() => this.#paint(), tick)
  }

  finish(): void {
    if (this.#timer !== undefined) this.#paint()
    this.#lines.clear()
    this.#painted = 0
  }

  #paint(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const columns = Math.max(20, this.#sink.columns)
    // What stands above the screen's top cannot be painted again.
    const room = Math.max(1, this.#sink.rows - 1)
    const lines = [...this.#lines].slice(-room).map(([id, event]) => fitted(`${id}: ${event.text}`, event, columns))
    const up = this.#painted === 0 ? '' : `\x1b[${this.#painted}A`
    this.#sink.write(`\x1b[?2026h${up}${lines.map((line) => `\r${line}\x1b[K\n`).join('')}\x1b[J\x1b[?2026l`)
    this.#painted = lines.length
  }
}

/** `head [====>   ]  1.2MB/3.4MB`, without the bar where there is no room for it. */
function fitted(head: string, { current, total = 0 }: TransferEvent, columns: number): string {
  if (current === undefined) return head.slice(0, columns - 1)
  const amount = total === 0 ? formatBytes(current) : `${formatBytes(current)}/${formatBytes(total)}`
  const done = total === 0 ? 0 : Math.min(barWidth, Math.floor((current / total) * barWidth))
  const bar = ` [${`${'='.repeat(done)}>`.slice(0, barWidth).padEnd(barWidth)}]`
  const full = `${head}${total === 0 ? '' : bar}  ${amount}`
  return (full.length < columns ? full : `${head}  ${amount}`).slice(0, columns - 1)
}
