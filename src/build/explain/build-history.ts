import { lastStepKey, lastStepRecord, putStepRecord } from '../../content/cache-records.ts'
import type { Store } from '../../content/store.ts'
import { digestOf } from '../../oci/digest.ts'
import { type CacheKey, fileSources, fingerprint, type StepInputs } from '../cache-key.ts'
import {
  explainBase,
  explainMiss,
  isSameSource,
  passedOn,
  type SourceComparison,
  type StepDescription,
  type StepTrace,
} from './explain.ts'
import type { FileDigests } from './file-changes.ts'
import { formerSteps } from './former-steps.ts'
import type { Op } from '../graph.ts'
import type { Miss, StepMention } from './miss.ts'
import type { SelectionDigest } from '../context/selection-digest.ts'

/** What is known of a step that is about to run. */
export interface MissedStep {
  readonly key: CacheKey
  readonly inputs: StepInputs
  /** What each file source selected; undefined where that is not known. */
  readonly files: readonly (SelectionDigest | undefined)[]
  /** Whether what it gave is recorded but not in the store any more. */
  readonly isPruned: boolean
  /** Of the step below, where that was run again too. */
  readonly below: Miss | undefined
  /** Whether it stands on the very files that it stood on in the last build. */
  readonly belowIsSame: boolean
  /** A step that files come from and that was run again. */
  readonly source: { readonly op: Op; readonly miss: Miss } | undefined
}

/** By label and digest of the source. */
export type StoredFiles = Readonly<Record<string, readonly (readonly [path: string, digest: string])[]>>

/** The steps of a build, and the files that their sources selected. */
export interface StoredHistory {
  readonly steps: readonly StepTrace[]
  readonly files: StoredFiles
}

/** What is known of a build besides its steps. */
export interface HistoryFacts {
  /** Names of all stages of the Dockerfile, also of those that this build does not need. */
  readonly stages: ReadonlySet<string>
  /** Patterns of the context's ignore file. */
  readonly ignored: readonly string[]
  /** Whether the value of a variable may be kept and shown. */
  readonly mayTell: (name: string, value: string) => boolean
}

/**
 * The steps of the last build of one Dockerfile with one context, and those of this one: what a miss is explained
 * with. Read only when there is something to explain or to remember. Builds elsewhere count too, where they came closer.
 */
export class BuildHistory {
  readonly #store: Store
  readonly #scope: string
  /** This build's steps. */
  readonly #ops: readonly Op[]
  readonly #facts: HistoryFacts
  #before: readonly StepTrace[] | undefined
  #former: ReadonlyMap<Op, StepTrace> | undefined
  #filesBefore: StoredFiles | undefined
  readonly #imported: readonly StoredHistory[]
  readonly #contents = new Map<Op, readonly (SelectionDigest | undefined)[]>()

  /**
   * `scope` tells one Dockerfile and context from another; `ops` are those of this build, `imported` builds of the same
   * Dockerfile elsewhere.
   */
  constructor(
    store: Store,
    scope: readonly string[],
    ops: readonly Op[],
    facts: HistoryFacts,
    imported: readonly StoredHistory[] = [],
  ) {
    this.#store = store
    this.#imported = imported
    this.#scope = digestOf(JSON.stringify(scope))
    this.#ops = ops
    this.#facts = facts
  }

  /** Takes the build that has most of these keys for the last one: that of this store where no other has more. */
  choose(keys: ReadonlySet<CacheKey>): void {
    if (this.#imported.length === 0) return
    const common = ({ steps }: StoredHistory): number => steps.filter(({ key }) => keys.has(key)).length
    let best: StoredHistory = this.stored()
    for (const history of this.#imported) if (common(history) > common(best) || best.steps.length === 0) best = history
    this.#before = best.steps
    this.#former = undefined
    this.#filesBefore = best.files
  }

  /** What this store remembers. */
  stored(): StoredHistory {
    return { steps: this.#storedSteps(), files: this.#readFiles() }
  }

  /** What is different about the image of a FROM since the last build. */
  explainBase(op: Extract<Op, { kind: 'base' }>): Miss | undefined {
    return explainBase(this.#counterpart(op), imageOf(op))
  }

  /** Key that the step had in the last build. */
  formerKey(op: Op): CacheKey | undefined {
    return this.#counterpart(op)?.key
  }

  /** Why `op` has to run. */
  explain(op: Op, missed: MissedStep): Miss {
    this.#contents.set(op, missed.files)
    const before = this.#counterpart(op)
    return explainMiss({
      now: this.#traceOf(op, missed),
      before,
      known: this.#traces().length > 0,
      forced: op.ignoreCache === undefined ? (missed.isPruned ? 'pruned' : undefined) : { flag: op.ignoreCache },
      sources: () => (before === undefined ? [] : this.#compareSources(before, missed)),
      below: op.parent === undefined ? undefined : { ...mentionOf(op.parent), miss: missed.below },
      belowIsSame: missed.belowIsSame,
      source: missed.source === undefined ? undefined : { ...mentionOf(missed.source.op), miss: missed.source.miss },
    })
  }

  /**
   * What is different about a step that was found all the same, as it once was like this: a step on it may have to run
   * for that. Undefined where that is nothing but its place.
   */
  difference(
    op: Op,
    { key, inputs, files, below }: Omit<MissedStep, 'isPruned' | 'source' | 'belowIsSame'>,
  ): Miss | undefined {
    const before = this.#counterpart(op)
    if (before === undefined) return undefined
    const lower = op.parent === undefined ? undefined : { ...mentionOf(op.parent), miss: below }
    if (before.key === key) return lower === undefined ? undefined : passedOn(lower)
    const miss = explainMiss({
      now: this.#traceOf(op, { key, inputs }),
      before,
      known: true,
      forced: undefined,
      sources: () => this.#compareSources(before, { inputs, files }),
      below: lower,
      belowIsSame: false,
      source: undefined,
    })
    return miss.own[0]?.kind === 'moved' ? undefined : miss
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
    const lastKey = lastStepKey(this.#store, this.#scope)
    if (lastKey === historyKey(steps.map(({ op, key }) => ({ stage: op.stage, text: op.text, key })))) return
    const traces = steps.map(({ op, key, inputs, files }): StepTrace => {
      const known = this.#contents.get(op) ?? files
      const before = this.#counterpart(op)
      const contents = (inputs.sources ?? []).map(
        (_, index) => known[index]?.digest ?? (before?.key === key ? (before.contents[index] ?? null) : null),
      )
      const image = op.kind === 'base' ? { image: imageOf(op) } : {}
      return { stage: op.stage, ordinal: op.ordinal, ...this.#traceOf(op, { key, inputs }), contents, ...image }
    })
    const stages = new Set(traces.map(({ stage }) => stage))
    const others = this.#traces().filter(({ stage }) => !stages.has(stage) && this.#facts.stages.has(stage))
    const all = [...others, ...traces]
    const key = historyKey(all)
    if (lastKey === key) return
    const known = new Map<string, SelectionDigest>()
    for (const { op, inputs, files } of steps) {
      for (const [index, { label }] of (inputs.sources ?? []).entries()) {
        const selected = files[index] ?? this.#contents.get(op)?.[index]
        if (selected !== undefined) known.set(listName(label, selected.digest), selected)
      }
    }
    this.#saveFiles(all, known)
    putStepRecord(this.#store, { stepId: this.#scope, key, inputs: all })
  }

  /** What is kept of a step but for its place. */
  #traceOf(op: Op, { key, inputs }: { readonly key: CacheKey; readonly inputs: StepInputs }): StepDescription {
    const { ignored, mayTell } = this.#facts
    const { text, written } = op
    const variables = [...(written?.variables ?? [])].flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
    const values = [...variables, ...(op.kind === 'run' ? op.env : [])].filter(([name, value]) => mayTell(name, value))
    const readsContext = fileSources(op).some(({ source }) => source.from === 'context' && source.name === undefined)
    return {
      text,
      key,
      inputs,
      ...(written === undefined ? {} : { written: digestOf(written.text) }),
      ...(variables.length === 0
        ? {}
        : { variables: Object.fromEntries(variables.map(([name, value]) => [name, fingerprint(value)])) }),
      ...(values.length === 0 ? {} : { values: Object.fromEntries(values) }),
      ...(readsContext && ignored.length > 0 ? { ignored } : {}),
    }
  }

  #saveFiles(traces: readonly StepTrace[], known: ReadonlyMap<string, SelectionDigest>): void {
    const files: Record<string, StoredFiles[string]> = {}
    for (const { inputs, contents } of traces) {
      for (const [index, { label }] of (inputs.sources ?? []).entries()) {
        const digest = contents[index]
        if (digest === null || digest === undefined) continue
        const name = listName(label, digest)
        const now = known.get(name)
        const stored = now === undefined ? this.#storedFiles()[name] : [...now.files]
        if (stored !== undefined) files[name] = stored
      }
    }
    putStepRecord(this.#store, {
      stepId: `${this.#scope} files`,
      key: digestOf(Object.keys(files).sort().join()),
      inputs: files,
    })
  }

  #compareSources(before: StepTrace, { inputs, files }: Pick<MissedStep, 'inputs' | 'files'>): SourceComparison[] {
    const labels = (before.inputs.sources ?? []).map(({ label }) => label)
    return (inputs.sources ?? []).map(({ label }, index) => {
      const at = isSameSource(labels[index], label) ? index : labels.findIndex((other) => isSameSource(other, label))
      const old = before.contents[at]
      const now = files[index]
      if (old === null || old === undefined || now === undefined)
        return { label, same: undefined, before: undefined, now: undefined }
      const stored = this.#storedFiles()[listName(labels[at] ?? label, old)]
      return {
        label,
        same: old === now.digest,
        before: stored === undefined ? undefined : new Map(stored),
        now: now.files satisfies FileDigests,
      }
    })
  }

  /** The step of the last build that this one takes the place of. */
  #counterpart(op: Op): StepTrace | undefined {
    this.#former ??= formerSteps(this.#ops, this.#traces(), this.#facts.stages)
    return this.#former.get(op)
  }

  #traces(): readonly StepTrace[] {
    return (this.#before ??= this.#storedSteps())
  }

  #storedFiles(): StoredFiles {
    return (this.#filesBefore ??= this.#readFiles())
  }

  #storedSteps(): readonly StepTrace[] {
    return (lastStepRecord(this.#store, this.#scope)?.inputs as StepTrace[] | undefined) ?? []
  }

  /** A line for each file of the context: long, and read only to explain a miss or to remember one. */
  #readFiles(): StoredFiles {
    return (lastStepRecord(this.#store, `${this.#scope} files`)?.inputs as StoredFiles | undefined) ?? {}
  }
}

function historyKey(steps: readonly Pick<StepTrace, 'stage' | 'text' | 'key'>[]): string {
  return digestOf(JSON.stringify(steps.map(({ stage, text, key }) => [stage, text, key])))
}

function imageOf({ image }: Extract<Op, { kind: 'base' }>): string {
  return `${image.name}@${image.digest}`
}

function mentionOf({ text, range }: Op): StepMention {
  return { text, line: range.start }
}

/** Two sources can select the same content, each under its own paths. */
function listName(label: string, digest: string): string {
  return `${label} ${digest}`
}
