import { causesText } from '../build/explain/miss.ts'
import { isMiss } from '../build/step-reports.ts'
import { outcomeOf, Trace, type Vertex } from '../progress/trace.ts'
import type { BuildRecord, ExplainedStep, RecordItem } from './record.ts'

/** One bar of a timeline. Times are milliseconds since the build began. */
export interface Span {
  readonly id: string
  readonly name: string
  readonly start: number
  readonly end: number
  readonly outcome: 'done' | 'cached' | 'failed' | 'canceled' | 'running'
  /** Why it ran. */
  readonly reason: string | undefined
  /** What it failed with. */
  readonly error: string | undefined
  /** What it waited for. */
  readonly inputs: readonly string[]
  /** True for a span that the build would have been shorter without. */
  readonly isCritical: boolean
  /** The last lines it wrote. */
  readonly logTail: readonly string[]
}

/** What one cause cost, all that it made run again together. */
export interface Cost {
  readonly cause: string
  /** Titles of the steps. */
  readonly steps: readonly string[]
  /** Milliseconds that the steps took, one after the other. */
  readonly spent: number
  /** Milliseconds that the build would have been shorter if they had been cached. */
  readonly gain: number
}

export interface Timeline {
  /** Milliseconds from the first event to the last. */
  readonly duration: number
  readonly spans: readonly Span[]
  /** The dearest first. */
  readonly costs: readonly Cost[]
}

/** When each step of a build ran, which of them decided how long it took, and what each cause of a miss cost. */
export async function buildTimeline(record: BuildRecord, items: AsyncIterable<RecordItem>): Promise<Timeline> {
  const trace = new Trace()
  const inputs = new Map<string, readonly string[]>()
  let last = record.createdAt
  for await (const item of items) {
    if (item.kind !== 'event') continue
    const { event } = item
    trace.apply(event)
    if (event.type === 'vertex') {
      if (event.inputs !== undefined) inputs.set(event.id, event.inputs)
      last = Math.max(last, event.completed ?? event.started ?? last)
    } else if (event.type !== 'warning') last = Math.max(last, event.timestamp)
  }
  const shown = [...trace.vertexes.values()].filter(({ started }) => started !== undefined)
  const times = shown.map((vertex) => timesOf(vertex, record.createdAt, last))
  const byId = new Map(shown.map((vertex, index) => [vertex.id, times[index] ?? noTime]))
  const critical = criticalPath(byId, inputs)
  const spans = shown.map((vertex, index): Span => {
    const { start, end } = times[index] ?? noTime
    const { id, name, reason, error, tail } = vertex
    const outcome = outcomeOf(vertex) ?? 'running'
    const needed = inputs.get(id) ?? []
    return {
      id,
      name,
      start,
      end,
      outcome,
      reason,
      error,
      inputs: needed,
      isCritical: critical.has(id),
      logTail: tail.lines(),
    }
  })
  return { duration: last - record.createdAt, spans, costs: costsOf(record.end?.steps ?? [], byId, inputs) }
}

interface Times {
  readonly start: number
  readonly end: number
}

const noTime: Times = { start: 0, end: 0 }

function timesOf({ started, completed }: Vertex, origin: number, last: number): Times {
  const start = Math.max(0, (started ?? origin) - origin)
  return { start, end: Math.max(start, (completed ?? last) - origin) }
}

type Inputs = ReadonlyMap<string, readonly string[]>

/** From the step that ended last back, each time to what ended last of what it waited for. */
function criticalPath(times: ReadonlyMap<string, Times>, inputs: Inputs): ReadonlySet<string> {
  const path = new Set<string>()
  const endOf = (id: string): number => times.get(id)?.end ?? 0
  const latest = (ids: Iterable<string>): string | undefined =>
    [...ids].reduce<string | undefined>((a, b) => (a === undefined || endOf(b) > endOf(a) ? b : a), undefined)
  for (let id = latest(inputs.keys()); id !== undefined && !path.has(id); id = latest(inputs.get(id) ?? []))
    path.add(id)
  return path
}

/** What each cause cost. A gain is what the longest chain of steps loses when the steps take no time. */
function costsOf(steps: readonly ExplainedStep[], times: ReadonlyMap<string, Times>, inputs: Inputs): Cost[] {
  const groups = new Map<string, ExplainedStep[]>()
  for (const step of steps) {
    if (!isMiss(step) || step.miss === undefined) continue
    const { own, inherited } = step.miss
    const origin = own.length > 0 ? { causes: own, text: step.text, line: step.line } : undefined
    const at = origin ?? (inherited && { causes: inherited.causes, ...inherited.step })
    if (at === undefined) continue
    const cause = `${causesText(at.causes)} (${at.text}, line ${at.line})`
    groups.set(cause, [...(groups.get(cause) ?? []), step])
  }
  const spentBy = ({ id }: ExplainedStep): number => lengthOf(times.get(id))
  const whole = longestChain(times, inputs, new Set())
  return [...groups]
    .map(([cause, group]) => ({
      cause,
      steps: group.map(({ title }) => title),
      spent: group.reduce((sum, step) => sum + spentBy(step), 0),
      gain: whole - longestChain(times, inputs, new Set(group.map(({ id }) => id))),
    }))
    .sort((a, b) => b.gain - a.gain || b.spent - a.spent)
}

/** Milliseconds of the longest chain of steps that wait for each other, those of `free` taking none. */
function longestChain(times: ReadonlyMap<string, Times>, inputs: Inputs, free: ReadonlySet<string>): number {
  const ends = new Map<string, number>()
  let longest = 0
  // Steps are announced after those they need.
  for (const [id, needed] of inputs) {
    const start = needed.reduce((latest, input) => Math.max(latest, ends.get(input) ?? 0), 0)
    const end = start + (free.has(id) ? 0 : lengthOf(times.get(id)))
    ends.set(id, end)
    longest = Math.max(longest, end)
  }
  return longest
}

function lengthOf(times: Times | undefined): number {
  return times === undefined ? 0 : times.end - times.start
}
