import type { Op } from '../graph.ts'
import type { StepTrace } from './explain.ts'

type Step = Pick<Op, 'stage' | 'text' | 'ordinal' | 'kind'>

/**
 * Which step of an earlier build each of `ops` takes the place of, each former step at most once: that with the same text,
 * else the one between the same neighbours. `stages` are the names of all stages that the Dockerfile has now; a stage
 * that is new may be one that had another name.
 */
export function formerSteps<Current extends Step>(
  ops: readonly Current[],
  traces: readonly StepTrace[],
  stages: ReadonlySet<string>,
): ReadonlyMap<Current, StepTrace> {
  const before = Map.groupBy(traces, ({ stage }) => stage)
  const found = new Map<Current, StepTrace>()
  const renamed = new Set([...before.keys()].filter((stage) => !stages.has(stage) || isNumbered(stage)))
  const now = [...Map.groupBy(ops, ({ stage }) => stage)]
  // Stages with names come first: what they were called leaves less to choose from.
  for (const [stage, own] of now.toSorted(([a], [b]) => Number(isNumbered(a)) - Number(isNumbered(b)))) {
    const name = before.has(stage) && !isNumbered(stage) ? stage : likest(stage, own, before, renamed)
    if (name === undefined) continue
    renamed.delete(name)
    matchSteps(own, before.get(name) ?? [], found)
  }
  return found
}

/** True for a stage that has no name in the Dockerfile, so that one more above it gives it another. */
function isNumbered(stage: string): boolean {
  return stage === '' || /^stage-\d+$/.test(stage)
}

/** The stage of `candidates` with which one has most steps in common, if any. */
function likest(
  stage: string,
  ops: readonly Step[],
  before: ReadonlyMap<string, readonly StepTrace[]>,
  candidates: ReadonlySet<string>,
): string | undefined {
  const texts = new Set(ops.map(({ text }) => text))
  let best: string | undefined
  let most = 0
  for (const candidate of candidates) {
    const common = (before.get(candidate) ?? []).filter(({ text }) => texts.has(text)).length
    if (common > most || (common === most && candidate === stage)) [best, most] = [candidate, common]
  }
  return best
}

function matchSteps<Current extends Step>(
  ops: readonly Current[],
  traces: readonly StepTrace[],
  found: Map<Current, StepTrace>,
): void {
  const free = new Set(traces)
  const take = (op: Current, trace: StepTrace | undefined): void => {
    if (trace === undefined) return
    found.set(op, trace)
    free.delete(trace)
  }
  const byText = Map.groupBy(traces, ({ text }) => text)
  for (const op of ops)
    take(
      op,
      byText.get(op.text)?.find(({ ordinal }) => ordinal === op.ordinal),
    )
  for (const op of ops)
    if (!found.has(op))
      take(
        op,
        byText.get(op.text)?.find((trace) => free.has(trace)),
      )
  for (const gap of gaps(ops, traces, found)) {
    const left = gap.traces.filter((trace) => free.has(trace))
    const pairs =
      left.length === gap.ops.length || left.length * gap.ops.length > mostCompared
        ? inOrder(gap.ops, left)
        : mostSimilar(gap.ops, left)
    for (const [op, trace] of pairs) take(op, trace)
  }
}

function inOrder<Current>(ops: readonly Current[], traces: readonly StepTrace[]): [Current, StepTrace | undefined][] {
  return ops.map((op, index) => [op, traces[index]])
}

/** Of more pairs it is not found out how alike they are. */
const mostCompared = 10_000

interface Gap<Current> {
  readonly ops: Current[]
  readonly traces: readonly StepTrace[]
}

/** Runs of steps without a former one, with the former steps that stood between those of their neighbours. */
function gaps<Current extends Step>(
  ops: readonly Current[],
  traces: readonly StepTrace[],
  found: ReadonlyMap<Current, StepTrace>,
): Gap<Current>[] {
  const places = new Map(traces.map((trace, index) => [trace, index]))
  const placeOf = (op: Current | undefined): number | undefined => {
    const trace = op === undefined ? undefined : found.get(op)
    return trace === undefined ? undefined : places.get(trace)
  }
  const result: Gap<Current>[] = []
  for (let index = 0; index < ops.length; index++) {
    const start = index
    while (index < ops.length && placeOf(ops[index]) === undefined) index++
    if (index === start) continue
    const from = placeOf(ops[start - 1]) ?? -1
    const to = placeOf(ops[index]) ?? traces.length
    result.push({ ops: ops.slice(start, index), traces: traces.slice(from + 1, Math.max(from + 1, to)) })
  }
  return result
}

/** Steps of one kind that begin and end alike, those that do so most first; each is in one pair at most. */
function mostSimilar<Current extends Step>(
  ops: readonly Current[],
  traces: readonly StepTrace[],
): [Current, StepTrace][] {
  const all = ops.flatMap((op) =>
    traces
      .filter(({ inputs }) => inputs.kind === op.kind)
      .map((trace) => ({ op, trace, alike: commonLength(op.text, trace.text) })),
  )
  const paired = new Set<Current | StepTrace>()
  const pairs: [Current, StepTrace][] = []
  for (const { op, trace } of all.sort((a, b) => b.alike - a.alike)) {
    if (paired.has(op) || paired.has(trace)) continue
    paired.add(op).add(trace)
    pairs.push([op, trace])
  }
  return pairs
}

/** Characters that two texts have in common at their beginnings and ends. */
function commonLength(one: string, other: string): number {
  const shorter = Math.min(one.length, other.length)
  let head = 0
  while (head < shorter && one[head] === other[head]) head++
  let tail = 0
  while (tail < shorter - head && one.at(-1 - tail) === other.at(-1 - tail)) tail++
  return head + tail
}
