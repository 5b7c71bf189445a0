import type { ProgressListener } from '../progress/events.ts'
import { isFirst, type Miss } from './explain/miss.ts'
import type { Op } from './graph.ts'
import { neededOps } from './needed-ops.ts'

/** What became of one step of a build. */
export interface StepReport {
  /** Names it among the events of the build. */
  readonly id: string
  /** `[builder 2/4] RUN npm ci`. */
  readonly title: string
  readonly text: string
  readonly kind: Op['kind']
  readonly stage: string
  /** Of the Dockerfile, from 1. */
  readonly line: number
  /** The steps it stands on, copies from or mounts. */
  readonly inputs: readonly string[]
  /** `unreached`: the build ended before. */
  readonly outcome: 'base' | 'cached' | 'ran' | 'failed' | 'canceled' | 'unreached'
  /** Why it was not taken from the cache, or what is new about a base image. */
  readonly miss?: Miss
  /** What it gave before is still there: but for the causes of its miss it would have been taken from the cache. */
  readonly isFormerKept?: boolean
  /** The cache of `--cache-from` that it was taken from. */
  readonly origin?: string
}

/** Name of an op among the events of one build. */
export function stepId(op: Op): string {
  return `op-${op.id}`
}

/** What became of a step, as far as it is known. */
type StepState = Pick<StepReport, 'outcome' | 'miss' | 'isFormerKept' | 'origin'>

/** Keeps account of the steps of one build, and shows those that are not run; `RunningStep` shows the others. */
export class StepReports {
  readonly #progress: ProgressListener
  readonly #states = new Map<Op, StepState>()
  /** How many steps there are, but for those that were never looked at, and how many of them the cache had. */
  readonly counts = { steps: 0, cached: 0 }

  constructor(progress: ProgressListener) {
    this.#progress = progress
  }

  /** Shows what there is to do. */
  plan(ops: readonly Op[]): void {
    for (const op of ops)
      this.#progress({ type: 'vertex', id: stepId(op), name: op.title, inputs: neededOps(op).map(stepId) })
  }

  /** Counts a step that is looked at. */
  begin(): void {
    this.counts.steps += 1
  }

  /** Notes what became of a step; a miss that was noted before stays. */
  note(op: Op, state: StepState): void {
    this.#states.set(op, { ...this.#states.get(op), ...state })
  }

  /** Puts another miss in place of that of a step that was run. */
  correct(op: Op, miss: Miss): void {
    const state = this.#states.get(op)
    if (state?.miss !== undefined) this.#states.set(op, { ...state, miss })
  }

  /** Shows a base image. */
  base(op: Op): void {
    this.note(op, { outcome: 'base' })
    this.#show(op, false)
  }

  /** Shows a step that was taken from the cache; `origin` names one elsewhere. */
  cached(op: Op, origin?: string): void {
    this.counts.cached += 1
    this.note(op, { outcome: 'cached', ...(origin === undefined ? {} : { origin }) })
    this.#show(op, true)
  }

  /** Notes a step that was done as another one. Those that several platforms have in common are shown once. */
  sameAs(twin: Op, op: Op): void {
    if (op.title === twin.title) this.note(op, { outcome: 'cached' })
    else this.cached(op)
  }

  /** Shows those of all steps that nobody had to look at, since a later step was a hit, as cached like that one. */
  untouched(ops: readonly Op[]): void {
    const titles = new Set<string>()
    for (const op of ops) {
      if (!this.#states.has(op)) {
        if (titles.has(op.title)) this.note(op, { outcome: 'cached' })
        else {
          this.begin()
          this.cached(op)
        }
      }
      titles.add(op.title)
    }
  }

  /** The reports of `ops`, in their order. */
  of(ops: readonly Op[]): StepReport[] {
    return ops.map((op) => ({
      id: stepId(op),
      title: op.title,
      text: op.text,
      kind: op.kind,
      stage: op.stage,
      line: op.range.start,
      inputs: neededOps(op).map(stepId),
      outcome: 'unreached',
      ...this.#states.get(op),
    }))
  }

  #show(op: Op, cached: boolean): void {
    const now = Date.now()
    this.#progress({ type: 'vertex', id: stepId(op), name: op.title, started: now, completed: now, cached })
  }
}

/** True for a step that had to run although the Dockerfile had been built before. */
export function isMiss({ outcome, miss }: StepReport): boolean {
  return outcome !== 'base' && miss !== undefined && !isFirst(miss)
}
