import { lastStepKey, lastStepRecord, putStepRecord } from '../../content/cache-records.ts'
import type { Store } from '../../content/store.ts'
import { digestOf } from '../../oci/digest.ts'
import type { CacheKey, StepInputs } from '../cache-key.ts'
import {
  explainBase,
  explainMiss,
  type FileDigests,
  isSameSource,
  passedOn,
  type SourceComparison,
  type StepTrace,
} from './explain.ts'
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

/**
 * The steps of the last build of one Dockerfile with one context, and those of this one: what a miss is explained
 * with. Read only when there is something to explain or to remember. Builds elsewhere count too, where they came closer.
 */
export class BuildHistory {
  readonly #store: Store
  readonly #scope: string
  /** Names of this build's steps. */
  readonly #steps: ReadonlySet<string>
  readonly #stages: ReadonlySet<string>
  #before: readonly StepTrace[] | undefined
  #former: FormerStages | undefined
  #filesBefore: StoredFiles | undefined
  readonly #imported: readonly StoredHistory[]
  readonly #contents = new Map<Op, readonly (SelectionDigest | undefined)[]>()

  /**
   * `scope` tells one Dockerfile and context from another; `ops` are those of this build, `imported` builds of the same
   * Dockerfile elsewhere.
   */
  constructor(store: Store, scope: readonly string[], ops: readonly Op[], imported: readonly StoredHistory[] = []) {
    this.#store = store
    this.#imported = imported
    this.#scope = digestOf(JSON.stringify(scope))
    this.#steps = new Set(ops.map(stepName))
    this.#stages = new Set(ops.map(({ stage: name }) => name))
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
  explainBase(op: Extract<Op, { kind: 'base' }>, key: CacheKey, inputs: StepInputs): Miss | undefined {
    return explainBase({ before: this.#counterpart(op), now: { text: op.text, key, inputs, image: imageOf(op) } })
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
      now: { text: op.text, key: missed.key, inputs: missed.inputs },
      before,
      known: this.#traces().length > 0,
      forced: op.ignoreCache === undefined ? (missed.isPruned ? 'pruned' : undefined) : { flag: op.ignoreCache },
      sources: () => (before === undefined ? [] : this.#compareSources(before, missed)),
      below: op.parent === undefined ? undefined : { ...mentionOf(op.parent), miss: missed.below },
      source: missed.source === undefined ? undefined : { ...mentionOf(missed.source.op), miss: missed.source.miss },
    })
  }

  /**
   * What is different about a step that was found all the same, as it once was like this: a step on it may have to run
   * for that. Undefined where that is nothing but its place.
   */
  difference(op: Op, { key, inputs, files, below }: Omit<MissedStep, 'isPruned' | 'source'>): Miss | undefined {
    const before = this.#counterpart(op)
    if (before === undefined) return undefined
    const lower = op.parent === undefined ? undefined : { ...mentionOf(op.parent), miss: below }
    if (before.key === key) return lower === undefined ? undefined : passedOn(lower)
    const miss = explainMiss({
      now: { text: op.text, key, inputs },
      before,
      known: true,
      forced: undefined,
      sources: () => this.#compareSources(before, { inputs, files }),
      below: lower,
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
      return { stage: op.stage, ordinal: op.ordinal, text: op.text, key, inputs, contents, ...image }
    })
    const stages = new Set(traces.map(({ stage }) => stage))
    const all = [...this.#traces().filter(({ stage }) => !stages.has(stage)), ...traces]
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

  /**
   * The step of the last build that this one takes the place of: the same text, else the same position, unless the one
   * there has only moved. A stage that was not there may have had the name of one that is not there any more.
   */
  #counterpart(op: Op): StepTrace | undefined {
    this.#former ??= new FormerStages(this.#traces(), this.#stages, this.#steps)
    return this.#former.counterpart(op)
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

/** Steps of an earlier build by what they are looked for by. */
class FormerStages {
  /** By stage; under undefined those of stages that are not there any more. */
  readonly #stages: ReadonlyMap<string | undefined, FormerSteps>

  /** `stages` and `steps` are the names of what there is now. */
  constructor(traces: readonly StepTrace[], stages: ReadonlySet<string>, steps: ReadonlySet<string>) {
    const groups = Map.groupBy(traces, ({ stage }) => (stages.has(stage) ? stage : undefined))
    this.#stages = new Map([...groups].map(([stage, own]) => [stage, formerSteps(own, steps)]))
  }

  counterpart({ stage, text, ordinal }: Op): StepTrace | undefined {
    const former = this.#stages.get(stage) ?? this.#stages.get(undefined)
    return former?.exact.get(`${ordinal} ${text}`) ?? former?.byText.get(text) ?? former?.byOrdinal.get(ordinal)
  }
}

/** Of several that are alike each has the first. */
interface FormerSteps {
  readonly exact: ReadonlyMap<string, StepTrace>
  readonly byText: ReadonlyMap<string, StepTrace>
  /** Without those that have only moved. */
  readonly byOrdinal: ReadonlyMap<number, StepTrace>
}

function formerSteps(traces: readonly StepTrace[], steps: ReadonlySet<string>): FormerSteps {
  const first = traces.toReversed()
  return {
    exact: new Map(first.map((trace) => [`${trace.ordinal} ${trace.text}`, trace])),
    byText: new Map(first.map((trace) => [trace.text, trace])),
    byOrdinal: new Map(first.filter((trace) => !steps.has(stepName(trace))).map((trace) => [trace.ordinal, trace])),
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

function stepName({ stage, text }: Pick<StepTrace, 'stage' | 'text'>): string {
  return `${stage}\n${text}`
}

/** Two sources can select the same content, each under its own paths. */
function listName(label: string, digest: string): string {
  return `${label} ${digest}`
}
