import { lastStepRecord, putStepRecord } from '../content/cache-records.ts'
import type { Store } from '../content/store.ts'
import { digestOf } from '../oci/digest.ts'
import { type CacheKey, canonicalJson, type StepInputs } from './cache-key.ts'
import { explainMiss, type FileDigests, type SourceComparison, type StepTrace } from './explain.ts'
import type { Op } from './graph.ts'
import type { SelectionDigest } from './selection-digest.ts'

/** What is known of a step that is about to run. */
export interface MissedStep {
  readonly key: CacheKey
  readonly inputs: StepInputs
  /** What each file source selected; undefined where that is not known. */
  readonly files: readonly (SelectionDigest | undefined)[]
  readonly forced: 'no-cache' | 'pruned' | undefined
  /** Reason of the step below, where that was run again too. */
  readonly belowReason: string | undefined
  /** A step that files come from and that was run again. */
  readonly source: { readonly op: Op; readonly reason: string } | undefined
}

type StoredFiles = Record<string, [path: string, digest: string][]>

/**
 * The steps of the last build of one Dockerfile with one context, and those of this one: what a miss is explained
 * with. Read only when there is something to explain or to remember.
 */
export class BuildHistory {
  readonly #store: Store
  readonly #scope: string
  #before: readonly StepTrace[] | undefined
  #filesBefore: StoredFiles | undefined
  readonly #contents = new Map<Op, readonly (SelectionDigest | undefined)[]>()

  /** `scope` tells one Dockerfile and context from another. */
  constructor(store: Store, scope: readonly string[]) {
    this.#store = store
    this.#scope = digestOf(JSON.stringify(scope))
  }

  /** Why `op` has to run. */
  explain(op: Op, missed: MissedStep): string {
    this.#contents.set(op, missed.files)
    const before = this.#counterpart(op)
    return explainMiss({
      now: { text: op.text, key: missed.key, inputs: missed.inputs },
      before,
      known: this.#traces().length > 0,
      forced: missed.forced,
      sources: () => (before === undefined ? [] : this.#compareSources(before, missed)),
      below:
        op.parent === undefined
          ? undefined
          : { text: op.parent.text, line: op.parent.range.start, reason: missed.belowReason },
      source:
        missed.source === undefined
          ? undefined
          : { text: missed.source.op.text, line: missed.source.op.range.start, reason: missed.source.reason },
    })
  }

  /** Remembers the steps of this build for the next one. Stages that this build did not need are kept. */
  save(
    steps: readonly {
      readonly op: Op
      readonly key: CacheKey
      readonly inputs: StepInputs
      readonly files: readonly (SelectionDigest | undefined)[]
    }[],
  ): void {
    const traces = steps.map(({ op, key, inputs, files }): StepTrace => {
      const known = this.#contents.get(op) ?? files
      const before = this.#counterpart(op)
      const contents = (inputs.sources ?? []).map(
        (_, index) => known[index]?.digest ?? (before?.key === key ? (before.contents[index] ?? null) : null),
      )
      return { stage: op.stage, ordinal: op.ordinal, text: op.text, key, inputs, contents }
    })
    const stages = new Set(traces.map(({ stage }) => stage))
    const all = [...this.#traces().filter(({ stage }) => !stages.has(stage)), ...traces]
    const key = digestOf(canonicalJson(all.map((trace) => [trace.stage, trace.text, trace.key])))
    if (lastStepRecord(this.#store, this.#scope)?.key === key) return
    this.#saveFiles(
      all,
      steps.flatMap(({ op, files }) => [...(this.#contents.get(op) ?? []), ...files]),
    )
    putStepRecord(this.#store, { stepId: this.#scope, key, inputs: all })
  }

  #saveFiles(traces: readonly StepTrace[], known: readonly (SelectionDigest | undefined)[]): void {
    const files: StoredFiles = {}
    const wanted = new Set(traces.flatMap(({ contents }) => contents).filter((digest) => digest !== null))
    for (const digest of wanted) {
      const now = known.find((selected) => selected?.digest === digest)
      const stored = now === undefined ? this.#storedFiles()[digest] : [...now.files]
      if (stored !== undefined) files[digest] = stored
    }
    putStepRecord(this.#store, {
      stepId: `${this.#scope} files`,
      key: digestOf(Object.keys(files).sort().join()),
      inputs: files,
    })
  }

  #compareSources(before: StepTrace, { inputs, files }: MissedStep): SourceComparison[] {
    return (inputs.sources ?? []).map(({ label }, index) => {
      const old = before.contents[index]
      const now = files[index]
      if (old === null || old === undefined || now === undefined)
        return { label, same: undefined, before: undefined, now: undefined }
      const stored = this.#storedFiles()[old]
      return {
        label,
        same: old === now.digest,
        before: stored === undefined ? undefined : new Map(stored),
        now: now.files satisfies FileDigests,
      }
    })
  }

  /** The step of the last build that this one takes the place of: the same text, else the same position. */
  #counterpart(op: Op): StepTrace | undefined {
    const stage = this.#traces().filter((trace) => trace.stage === op.stage)
    const same = stage.filter((trace) => trace.text === op.text)
    return (
      same.find((trace) => trace.ordinal === op.ordinal) ??
      same[0] ??
      stage.find((trace) => trace.ordinal === op.ordinal)
    )
  }

  #traces(): readonly StepTrace[] {
    return (this.#before ??= (lastStepRecord(this.#store, this.#scope)?.inputs as StepTrace[] | undefined) ?? [])
  }

  #storedFiles(): StoredFiles {
    return (this.#filesBefore ??=
      (lastStepRecord(this.#store, `${this.#scope} files`)?.inputs as StoredFiles | undefined) ?? {})
  }
}
