import type { Display, DisplaySink } from './display.ts'
import type { ProgressEvent, StatusEvent, VertexId } from './events.ts'
import { printable } from './printable.ts'
import { formatAmount, formatSeconds } from './quantities.ts'
import { type Outcome, outcomeOf, Trace, type Vertex } from './trace.ts'

/** Time between two paints, in milliseconds. */
const tick = 100
/** Lines of its log that a running step shows. */
const windowLines = 6
/** Work below this is shown as no time at all, so that lines do not flicker. */
const negligible = 50

const hideCursor = '\x1b[?25l'
const showCursor = '\x1b[?25h'
const beginSynchronized = '\x1b[?2026h'
const endSynchronized = '\x1b[?2026l'
const clearLine = '\x1b[K'
const clearBelow = '\x1b[J'

const colors = { done: '34', cached: '34', failed: '31', canceled: '33', warning: '33', faint: '2' } as const

/** One line of the frame before it is fitted to the width. */
interface Line {
  readonly text: string
  /** What stands before the time, if there is room: `1.00MB / 3.00MB`. */
  readonly amount?: string
  /** Milliseconds shown at the right edge. */
  readonly elapsed?: number
  readonly color?: keyof typeof colors | undefined
}

/** The lines of one step, by how gladly they are given up when the terminal is too low. */
interface Block {
  readonly head: Line
  readonly details: readonly Line[]
  readonly log: readonly Line[]
  readonly running: boolean
}

/** Settings of the live view. */
export interface TtyOptions {
  /** False for NO_COLOR. */
  readonly color?: boolean
  /** The clock, in milliseconds. */
  readonly now?: () => number
}

/**
 * BuildKit's live view: a header with the time and the count of steps, a line for each step with its time, and the last
 * lines of the log of those that run. It is painted at the first event and then at most every 100 ms; the timer keeps
 * no process alive. The cursor is hidden only while a frame is written, so that no way of ending leaves it hidden.
 */
export class TtyDisplay implements Display {
  readonly #sink: DisplaySink
  readonly #color: boolean
  readonly #now: () => number
  readonly #trace = new Trace()
  readonly #stopResize: () => void
  #began: number | undefined
  #timer: ReturnType<typeof setInterval> | undefined
  #lastPaint = 0
  /** The frame on the screen, without colours. */
  #painted: readonly string[] = []
  #finished = false

  constructor(sink: DisplaySink, { color = true, now = Date.now }: TtyOptions = {}) {
    this.#sink = sink
    this.#color = color
    this.#now = now
    this.#stopResize = sink.onResize(() => this.#paint())
  }

  handle(event: ProgressEvent): void {
    if (this.#finished) return
    this.#trace.apply(event)
    if (this.#began === undefined) {
      this.#began = this.#now()
      this.#timer = setInterval(() => this.#paint(), tick)
      this.#timer.unref()
    }
    if (this.#now() - this.#lastPaint >= tick) this.#paint()
  }

  /** Above the steps, where it stays. */
  note(text: string): void {
    const line = `${printable(text)}\n`
    if (this.#finished || this.#began === undefined) return this.#sink.write(line)
    const up = moveUp(heightOf(this.#painted, Math.max(1, this.#sink.columns)), Math.max(2, this.#sink.rows))
    this.#sink.write(`${up}${clearBelow}${line}`)
    this.#painted = []
    this.#paint()
  }

  logTail(vertex: VertexId): readonly string[] {
    return this.#trace.vertexes.get(vertex)?.tail.lines() ?? []
  }

  finish(): void {
    if (this.#finished) return
    clearInterval(this.#timer)
    this.#stopResize()
    if (this.#began !== undefined) this.#paint(true)
    this.#finished = true
  }

  #paint(final = false): void {
    if (this.#finished || this.#began === undefined) return
    this.#lastPaint = this.#now()
    const columns = Math.max(1, this.#sink.columns)
    const rows = Math.max(2, this.#sink.rows)
    const header = this.#header(final)
    const blocks = [...this.#trace.vertexes.values()].filter(isVisible).map((vertex) => this.#block(vertex, final))
    const lines = final ? blocks.flatMap(allLines) : fitHeight(blocks, rows - 2)
    const plain = [cut(header, columns - 1), ...lines.map((line) => layOut(line, columns - 1))]
    const colored = plain.map((text, index) => this.#paintLine(text, lines[index - 1]?.color))
    const frame = colored.map((text) => `${text}${clearLine}\n`).join('')
    this.#sink.write(
      `${beginSynchronized}${hideCursor}${moveUp(heightOf(this.#painted, columns), rows)}${frame}${clearBelow}${showCursor}${endSynchronized}`,
    )
    this.#painted = plain
  }

  #paintLine(text: string, color: keyof typeof colors | undefined): string {
    return this.#color && color !== undefined ? `\x1b[${colors[color]}m${text}\x1b[0m` : text
  }

  #header(final: boolean): string {
    const vertexes = [...this.#trace.vertexes.values()]
    const outcomes = vertexes.map(outcomeOf).filter((outcome) => outcome !== undefined)
    const cached = outcomes.filter((outcome) => outcome === 'cached').length
    const finished = final && outcomes.length === vertexes.length ? ' FINISHED' : ''
    const elapsed = formatSeconds(this.#now() - (this.#began ?? 0))
    const count = `(${outcomes.length}/${vertexes.length})`
    return `[+] Building ${elapsed} ${count}${finished}${cached === 0 ? '' : `, ${cached} cached`}`
  }

  #block(vertex: Vertex, final: boolean): Block {
    const outcome = outcomeOf(vertex)
    const elapsed = this.#elapsed(vertex.started, vertex.completed)
    const head: Line = {
      text: ` => ${prefixOf(outcome)}${printable(vertex.name)}`,
      elapsed,
      color: outcome,
    }
    const details: Line[] = []
    if (vertex.reason !== undefined)
      details.push({ text: ` => => rebuilt: ${printable(vertex.reason)}`, color: 'faint' })
    for (const status of vertex.statuses.values()) details.push(this.#status(status))
    for (const { short } of vertex.warnings)
      details.push({ text: ` => WARN: ${printable(short)}`, elapsed, color: 'warning' })
    const running = outcome === undefined
    const log =
      running && !final
        ? vertex.tail
            .lines()
            .map(printable)
            .filter((line) => line.trim() !== '')
        : []
    return {
      head,
      details,
      log: log.slice(-windowLines).map((line) => ({ text: ` => => # ${line}`, color: 'faint' })),
      running,
    }
  }

  #status({ id, current, total, timestamp, started, completed }: StatusEvent): Line {
    return {
      text: ` => => ${printable(id)}`,
      amount: formatAmount(current, total),
      elapsed: this.#elapsed(started ?? timestamp, completed),
      ...(completed === undefined ? {} : { color: 'done' }),
    }
  }

  #elapsed(started: number | undefined, completed: number | undefined): number {
    if (started === undefined) return 0
    const elapsed = (completed ?? this.#now()) - started
    return elapsed < negligible ? 0 : elapsed
  }
}

function isVisible(vertex: Vertex): boolean {
  return vertex.started !== undefined || vertex.completed !== undefined
}

function prefixOf(outcome: Outcome | undefined): string {
  switch (outcome) {
    case 'cached':
      return 'CACHED '
    case 'failed':
      return 'ERROR '
    case 'canceled':
      return 'CANCELED '
    default:
      return ''
  }
}

function allLines({ head, details, log }: Block): readonly Line[] {
  return [head, ...details, ...log]
}

/**
 * At most `limit` lines: steps that ended go first, the oldest before the others, then the logs of those that run, then
 * their details, and at last all but the newest.
 */
function fitHeight(blocks: readonly Block[], limit: number): readonly Line[] {
  const count = (shown: readonly Block[]): number => shown.reduce((sum, block) => sum + allLines(block).length, 0)
  let shown = [...blocks]
  let excess = count(shown) - limit
  shown = shown.filter((block) => {
    if (excess <= 0 || block.running) return true
    excess -= allLines(block).length
    return false
  })
  for (const part of ['log', 'details'] as const)
    shown = shown.map((block) => {
      const dropped = Math.min(Math.max(0, excess), block[part].length)
      excess -= dropped
      return { ...block, [part]: block[part].slice(dropped) }
    })
  return shown.flatMap(allLines).slice(-Math.max(1, limit))
}

/** A line cut or padded to `width` cells with its time at the right edge. */
function layOut({ text, amount = '', elapsed }: Line, width: number): string {
  const time = elapsed === undefined ? '' : ` ${formatSeconds(elapsed)}`
  const room = width - time.length
  if (room < 12) return cut(text, width)
  const suffix = amount !== '' && room - amount.length > 20 ? ` ${amount}` : ''
  const left = cut(text, room - suffix.length) + suffix
  return time === '' ? left : left + ' '.repeat(Math.max(0, room - Bun.stringWidth(left))) + time
}

function cut(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text
  // Bun.sliceAnsi keeps a wide character that stands half over the end.
  const first = Bun.sliceAnsi(text, 0, Math.max(0, width))
  return Bun.stringWidth(first) <= width ? first : Bun.sliceAnsi(text, 0, Math.max(0, width - 1))
}

/** Rows the lines take now: after the terminal got narrower it has wrapped them. */
function heightOf(lines: readonly string[], columns: number): number {
  return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(Bun.stringWidth(line) / columns)), 0)
}

function moveUp(lines: number, rows: number): string {
  const up = Math.min(lines, rows - 1)
  return up === 0 ? '\r' : `\r\x1b[${up}A`
}
