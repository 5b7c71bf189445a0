import { fileSources } from './cache-key.ts'
import type { Op } from './graph.ts'
import { isFirst, type Miss } from './explain/miss.ts'

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

/** The steps that an op needs the results of. */
export function neededOps(op: Op): readonly Op[] {
  const sources = fileSources(op).flatMap(({ source }) =>
    source.from === 'op' && source.op !== undefined ? [source.op] : [],
  )
  return [...new Set([...(op.parent === undefined ? [] : [op.parent]), ...sources])]
}

/** Keeps account of the steps of one build. */
export class StepReports {
  readonly #states = new Map<Op, Pick<StepReport, 'outcome' | 'miss' | 'isFormerKept' | 'origin'>>()

  /** Notes what became of a step; a miss that was noted before stays. */
  note(op: Op, state: Pick<StepReport, 'outcome' | 'miss' | 'isFormerKept' | 'origin'>): void {
    this.#states.set(op, { ...this.#states.get(op), ...state })
  }

  has(op: Op): boolean {
    return this.#states.has(op)
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
}

/** True for a step that had to run although the Dockerfile had been built before. */
export function isMiss({ outcome, miss }: StepReport): boolean {
  return outcome !== 'base' && miss !== undefined && !isFirst(miss)
}
