import type { Display, DisplaySink } from './display.ts'
import type { LogEvent, ProgressEvent, StatusEvent, VertexId } from './events.ts'
import { type LogPosition, prefixedLines } from './log-lines.ts'
import { printable } from './printable.ts'
import { formatAmount, formatLogTime, formatSeconds } from './quantities.ts'
import { outcomeOf, Trace, type Vertex } from './trace.ts'

/** A step that others keep hidden is shown at the latest after this long. */
const hiddenLimit = 10_000
/** The step on show keeps its place at least this long, longer the more it has to say. */
const antiFlicker = 5_000
/** A hidden step is shown once it has this many bytes waiting, so that they never pile up. */
const hiddenBytes = 1 << 20
/** A status is printed again when it moved on by a twentieth, or after five seconds. */
const statusStep = 0.05
const statusInterval = 5_000

/** Something to print for a vertex: a whole line, or a piece of its log. */
type Item = { readonly line: string; readonly isWarning?: true } | { readonly log: Uint8Array; readonly time: string }

/** What the plain display remembers of one vertex. */
interface Shown {
  readonly vertex: Vertex
  /** The N of `#N`, given when it is first shown. */
  index: number
  waiting: Item[]
  waitingBytes: number
  position: LogPosition
  reasonShown: boolean
  finished: boolean
  /** Updates since, and the moment from which, its share of the output is counted. */
  count: number
  since: number
  readonly statusShown: Map<string, StatusEvent>
}

const beginning: LogPosition = { isInLine: false, isOpen: false, isAfterReturn: false }
const encoder = new TextEncoder()

/**
 * BuildKit's plain progress: a block for each step, `#N` before each line. While steps run at once the output stays
 * with one of them; others are shown when they end, when they waited too long, or when the one on show has had its
 * share. A switch is marked by `#N ...`. Every byte of every log is printed once, except that a lone `\r` ends a line.
 */
export class PlainDisplay implements Display {
  readonly #sink: DisplaySink
  readonly #now: () => number
  readonly #trace = new Trace()
  readonly #shown = new Map<VertexId, Shown>()
  /** Steps with something new to show, be it only that they began. */
  readonly #touched = new Set<Shown>()
  #current: Shown | undefined
  /** The step whose block is the last one printed. */
  #last: Shown | undefined
  #lastIndex = 0
  #out: Uint8Array[] = []
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `now` is the clock for fairness between steps, in milliseconds. */
  constructor(sink: DisplaySink, now: () => number = Date.now) {
    this.#sink = sink
    this.#now = now
  }

  handle(event: ProgressEvent): void {
    const vertex = this.#trace.apply(event)
    if (vertex === undefined) return
    const shown = this.#shown.get(vertex.id) ?? this.#remember(vertex)
    switch (event.type) {
      case 'vertex':
        this.#takeVertex(shown)
        break
      case 'status':
        this.#takeStatus(shown, event)
        break
      case 'log':
        this.#takeLog(shown, event)
        break
      case 'warning':
        this.#touch(shown, { line: `WARN: ${event.short}`, isWarning: true })
        break
      default:
        event satisfies never
    }
    this.#settle()
  }

  logTail(vertex: VertexId): readonly string[] {
    return this.#trace.vertexes.get(vertex)?.tail.lines() ?? []
  }

  finish(): void {
    for (const shown of this.#touched) this.#print(shown)
    this.#breakLine(this.#current)
    this.#flush()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #remember(vertex: Vertex): Shown {
    const shown: Shown = {
      vertex,
      index: 0,
      waiting: [],
      waitingBytes: 0,
      position: { ...beginning },
      reasonShown: false,
      finished: false,
      count: 0,
      since: 0,
      statusShown: new Map(),
    }
    this.#shown.set(vertex.id, shown)
    return shown
  }

  #touch(shown: Shown, item?: Item): void {
    if (shown.count++ === 0) shown.since = this.#now()
    this.#touched.add(shown)
    if (item === undefined) return
    shown.waiting.push(item)
    if ('log' in item) shown.waitingBytes += item.log.byteLength
  }

  #takeVertex(shown: Shown): void {
    const { vertex } = shown
    if (vertex.started === undefined && vertex.completed === undefined) return
    if (vertex.completed === undefined) shown.finished = false
    if (vertex.reason !== undefined && !shown.reasonShown) {
      shown.reasonShown = true
      this.#touch(shown, { line: `rebuilt: ${printable(vertex.reason)}` })
    } else if (shown.index === 0 || (vertex.completed !== undefined && !shown.finished)) this.#touch(shown)
  }

  #takeStatus(shown: Shown, status: StatusEvent): void {
    const last = shown.statusShown.get(status.id)
    if (last !== undefined && status.completed === undefined) {
      const moved = status.total > 0 ? (status.current - last.current) / status.total : 0
      if (moved < statusStep && status.timestamp - last.timestamp < statusInterval) return
    }
    shown.statusShown.set(status.id, status)
    this.#touch(shown, { line: statusLine(status) })
  }

  #takeLog(shown: Shown, { data, timestamp }: LogEvent): void {
    if (data.length === 0) return
    const time = formatLogTime(timestamp - (shown.vertex.started ?? timestamp))
    this.#touch(shown, { log: data.slice(), time })
  }

  /** Prints what may be printed now: steps that ended, the step on show, and others that waited long enough. */
  #settle(): void {
    const touched = [...this.#touched]
    const ended = touched
      .filter(({ vertex }) => vertex.completed !== undefined)
      .sort((a, b) => Number(b === this.#current) - Number(a === this.#current) || completedOf(a) - completedOf(b))
    for (const shown of ended) this.#print(shown)
    const running = touched.filter(({ vertex }) => vertex.completed === undefined)
    if (this.#current !== undefined && this.#touched.has(this.#current)) this.#print(this.#current)
    const next = this.#nextToShow(running)
    if (next !== undefined) this.#print(next)
    this.#flush()
    this.#watchHidden(this.#touched.size > 0)
  }

  /** The running step to switch to, if any. */
  #nextToShow(running: readonly Shown[]): Shown | undefined {
    const now = this.#now()
    const hidden = running.filter((shown) => this.#touched.has(shown))
    const busiest = hidden.reduce<Shown | undefined>(
      (most, shown) => (most === undefined || speed(shown, now) > speed(most, now) ? shown : most),
      undefined,
    )
    if (this.#current === undefined || busiest === undefined) return busiest
    const due = hidden.find((shown) => now - shown.since > hiddenLimit || shown.waitingBytes > hiddenBytes)
    if (due !== undefined) return due
    const all = hidden.reduce((sum, shown) => sum + speed(shown, now), speed(this.#current, now))
    const share = all === 0 ? 0 : speed(this.#current, now) / all
    return antiFlicker / (1 - share) < now - this.#current.since ? busiest : undefined
  }

  /** While steps are hidden, looks again now and then even when no event comes. */
  #watchHidden(hidden: boolean): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!hidden) return
    this.#timer = setTimeout(() => this.#settle(), 1000)
    this.#timer.unref()
  }

  #print(shown: Shown): void {
    if (shown !== this.#current) this.#switchTo(shown)
    this.#touched.delete(shown)
    const { waiting } = shown
    shown.waiting = []
    shown.waitingBytes = 0
    for (const item of waiting) {
      if ('line' in item) {
        this.#breakLine(shown)
        this.#line(`#${shown.index} ${item.line}`)
      } else this.#log(shown, item)
    }
    this.#end(shown)
  }

  #switchTo(shown: Shown): void {
    // A warning about a step that has ended goes on in its block where nothing was printed since.
    const goesOn = this.#last === shown && shown.waiting.every((item) => 'line' in item && item.isWarning)
    if (this.#current === undefined && shown.waiting.length > 0 && goesOn) {
      this.#current = shown
      return
    }
    if (this.#current !== undefined) {
      this.#breakLine(this.#current)
      this.#current.count = 0
      this.#line(`#${this.#current.index} ...`)
    }
    if (this.#lastIndex > 0) this.#line('')
    if (shown.index === 0) shown.index = ++this.#lastIndex
    this.#line(`#${shown.index} ${printable(shown.vertex.name)}`)
    this.#current = shown
    this.#last = shown
  }

  /** A piece without its line end is printed too, and the line goes on with the next one. */
  #log({ index, position }: Shown, { log, time }: Extract<Item, { log: Uint8Array }>): void {
    this.#out.push(prefixedLines(log, encoder.encode(`#${index} ${time} `), position))
  }

  #end(shown: Shown): void {
    const { vertex } = shown
    const outcome = outcomeOf(vertex)
    if (outcome === undefined) return
    this.#breakLine(shown)
    if (!shown.finished) this.#line(`#${shown.index} ${endText(vertex)}`)
    shown.finished = true
    shown.position = { ...beginning }
    shown.count = 0
    this.#current = undefined
  }

  #breakLine(shown: Shown | undefined): void {
    if (shown?.position.isOpen !== true) return
    shown.position.isOpen = false
    this.#line('')
  }

  #line(text: string): void {
    this.#out.push(encoder.encode(`${text}\n`))
  }

  #flush(): void {
    const [first, ...others] = this.#out
    if (first === undefined) return
    const bytes = others.length === 0 ? first : Buffer.concat(this.#out)
    this.#out = []
    this.#sink.write(bytes)
  }
}

function completedOf({ vertex }: Shown): number {
  return vertex.completed ?? 0
}

/** Updates per millisecond since its share is counted. */
function speed(shown: Shown, now: number): number {
  return shown.count / Math.max(1, now - shown.since)
}

function endText(vertex: Vertex): string {
  switch (outcomeOf(vertex)) {
    case 'failed':
      return `ERROR: ${vertex.error}`
    case 'canceled':
      return 'CANCELED'
    case 'cached':
      return 'CACHED'
    default:
      return vertex.started === undefined || vertex.completed === undefined
        ? 'DONE'
        : `DONE ${formatSeconds(vertex.completed - vertex.started)}`
  }
}

/** `sha256:… 1.00MB / 3.00MB 0.2s done`. */
function statusLine({ id, current, total, timestamp, started, completed }: StatusEvent): string {
  const parts = [id]
  const amount = formatAmount(current, total)
  if (amount !== '') parts.push(amount)
  const elapsed = started === undefined ? 0 : (completed ?? timestamp) - started
  if (elapsed > 10) parts.push(formatSeconds(elapsed))
  if (completed !== undefined) parts.push('done')
  return parts.join(' ')
}
