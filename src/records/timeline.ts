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
  /** True for one of those that led to the end of the build one after the other. */
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
  /** Milliseconds from the beginning of the build to its end, or as far as is known of it. */
  readonly duration: number
  readonly spans: readonly Span[]
  /** The dearest first. */
  readonly costs: readonly Cost[]
}

/** When each step of a build ran, which of them decided how long it took, and what each cause of a miss cost. */
export async function buildTimeline(record: BuildRecord, items: AsyncIterable<RecordItem>): Promise<Timeline> {
  const trace = new Trace()
  const inputs = new Map<string, readonly string[]>()
  let last = Math.max(record.createdAt, record.end?.completedAt ?? 0)
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
  const failed = shown.find((vertex) => outcomeOf(vertex) === 'failed')?.id
  const critical = criticalPath(byId, inputs, failed)
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
const after: Times = { start: Infinity, end: Infinity }

function timesOf({ started, completed }: Vertex, origin: number, last: number): Times {
  const start = Math.max(0, (started ?? origin) - origin)
  return { start, end: Math.max(start, (completed ?? last) - origin) }
}

type Inputs = ReadonlyMap<string, readonly string[]>

/**
 * From `ending`, else from what ended last, back, each time to what ended last of what it waited for: of its inputs, or of all there was where
 * those are not told, as of an export or the first step of a stage.
 */
function criticalPath(
  times: ReadonlyMap<string, Times>,
  inputs: Inputs,
  ending: string | undefined,
): ReadonlySet<string> {
  const path = new Set<string>()
  const byEnd = [...times].sort(([, a], [, b]) => a.end - b.end)
  const lastBefore = (moment: number): string | undefined => {
    // Moments only go back, so what was passed over is needed no more.
    for (let found = byEnd.pop(); found !== undefined; found = byEnd.pop())
      if (found[1].end <= moment && !path.has(found[0])) return found[0]
    return undefined
  }
  let id = ending ?? lastBefore(Infinity)
  while (id !== undefined) {
    path.add(id)
    const { start } = times.get(id) ?? noTime
    let latest: string | undefined
    for (const input of inputs.get(id) ?? []) {
      const { end } = times.get(input) ?? after
      if (end <= start && !path.has(input) && end >= (times.get(latest ?? '')?.end ?? 0)) latest = input
    }
    id = latest ?? lastBefore(start)
  }
  return path
}

/** Causes that are told of, those first whose steps took longest. */
const costsTold = 50

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
    const group = groups.get(cause)
    if (group === undefined) groups.set(cause, [step])
    else group.push(step)
  }
  const spentBy = ({ id }: ExplainedStep): number => lengthOf(times.get(id))
  const whole = longestChain(times, inputs, new Set())
  return [...groups]
    .map(([cause, group]) => ({ cause, group, spent: group.reduce((sum, step) => sum + spentBy(step), 0) }))
    .sort((a, b) => b.spent - a.spent)
    .slice(0, costsTold)
    .map(({ cause, group, spent }) => {
      const without = longestChain(times, inputs, new Set(group.map(({ id }) => id)))
      return { cause, steps: group.map(({ title }) => title), spent, gain: whole - without }
    })
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
