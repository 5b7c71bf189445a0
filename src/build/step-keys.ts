import type { Dockerfile } from '../dockerfile/instruction.ts'
import type { ProgressListener } from '../progress/events.ts'
import { type BuildCache, emptyContentId } from './cache.ts'
import {
  cacheKey,
  type CacheKey,
  dependsOnParent,
  type FileInput,
  fileSources,
  remoteSources,
  sourceByKey,
  type SourceInput,
  stackedKey,
  stepInputs,
  type StepInputs,
} from './cache-key.ts'
import type { SelectionDigest } from './context/selection-digest.ts'
import type { Op } from './graph.ts'
import type { Filesystem } from './layer.ts'
import type { RemoteSource } from './ops/remote-source.ts'
import { atRange } from './step-error.ts'
import { stepId } from './step-reports.ts'

/** Reads what steps take files from. */
export interface SourceReader {
  /** Digest of what `input` selects in the build context or in a filesystem that is ready. */
  digestSource(input: FileInput, filesystem: Filesystem | undefined): Promise<SelectionDigest>
  /** What a remote source is at the moment; asked for once, shown under `title`. */
  resolveRemote(source: RemoteSource, title: string): Promise<SelectionDigest>
}

export interface StepKeyOptions {
  readonly dockerfile: Dockerfile
  readonly cache: BuildCache
  readonly executor: SourceReader
  readonly progress: ProgressListener
  readonly epoch: number | undefined
  /** Undefined where times are real, see `BuildPlan`. */
  readonly fixedTime: number | undefined
  /** Aborted where a source cannot be read, which the step's vertex then says. */
  readonly stop: AbortController
}

/** A key of a step, and what it is made of. */
export interface StepKey {
  readonly key: CacheKey
  readonly inputs: StepInputs
  /** Files of each source, in the order of the inputs' sources; undefined where a source is known by its key only. */
  readonly files: readonly (SelectionDigest | undefined)[]
}

/** The key by content. */
export interface ContentKey extends StepKey {
  /** Content identity of what the step starts from; undefined where that was not asked for. */
  readonly parentContent: string | undefined
}

/** The key by definition. */
interface DefinitionKey extends StepKey {
  /** Stands for all files that there are after the step, which the key of one that is on its own does not. */
  readonly filesystem: CacheKey
}

/** What is known of the step below. */
interface StepBelow {
  readonly contentId: () => Promise<string>
}

/** The keys of the steps of a build, each computed once: by definition, and by the content of what a step starts from. */
export class StepKeys {
  readonly #options: StepKeyOptions
  readonly #keys = new Map<Op, Promise<DefinitionKey>>()

  constructor(options: StepKeyOptions) {
    this.#options = options
  }

  /** All that are known or being computed. */
  asked(): Iterable<Promise<DefinitionKey>> {
    return this.#keys.values()
  }

  /** The key by definition: of what the instruction says and the keys of what it needs. Throws what reading sources fails with. */
  of(op: Op): Promise<DefinitionKey> {
    let key = this.#keys.get(op)
    if (key === undefined) this.#keys.set(op, (key = this.#compute(op)))
    return key
  }

  async #compute(op: Op): Promise<DefinitionKey> {
    const { executor, epoch, fixedTime } = this.#options
    const parent = op.parent === undefined ? undefined : (await this.of(op.parent)).filesystem
    const sources: SourceInput[] = []
    const files: (SelectionDigest | undefined)[] = []
    for (const input of fileSources(op)) {
      const label = sourceLabel(input)
      if (input.source.from === 'context') {
        const selected = await this.#failingAt(op, () => executor.digestSource(input, undefined))
        sources.push({ label, digest: selected.digest })
        files.push(selected)
      } else {
        const source = input.source.op === undefined ? undefined : (await this.of(input.source.op)).filesystem
        sources.push({ label, digest: sourceByKey(source, input.pattern) })
        files.push(undefined)
      }
    }
    for (const source of remoteSources(op)) {
      const found = await this.#locating(op, () => executor.resolveRemote(source, op.title))
      sources.push({ label: source.shown, digest: found.digest })
      files.push(found)
    }
    const inputs = stepInputs(op, { parent, sources, epoch, hasFixedTimes: fixedTime !== undefined })
    const key = cacheKey(inputs)
    const filesystem = onItsOwn(op) && parent !== undefined ? stackedKey(parent, key) : key
    return { key, filesystem, inputs, files }
  }

  /**
   * The step's key by the content of what it starts from and reads, where that can still find a result: the same
   * instruction must have run before. Files of other stages are read for it, a layer being packed is waited for.
   */
  async byContent(
    op: Op,
    parent: StepBelow | undefined,
    sources: ReadonlyMap<Op, { readonly filesystem: Filesystem }>,
  ): Promise<ContentKey | undefined> {
    const { cache, executor } = this.#options
    const { inputs } = await this.of(op)
    const inputFiles = fileSources(op)
    const readsOps = inputFiles.some(({ source }) => source.from === 'op')
    if (!readsOps && !cache.hasDefinition(inputs)) return undefined
    const files: (SelectionDigest | undefined)[] = []
    const digests: SourceInput[] = []
    for (const [index, input] of inputFiles.entries()) {
      const known = inputs.sources?.[index]
      if (input.source.from === 'context' && known !== undefined) {
        digests.push(known)
        files.push(undefined)
        continue
      }
      const filesystem =
        input.source.from === 'op' && input.source.op !== undefined ? sources.get(input.source.op)?.filesystem : []
      const selected = await this.#failingAt(op, () => executor.digestSource(input, filesystem))
      files.push(selected)
      digests.push({ label: sourceLabel(input), digest: selected.digest })
    }
    digests.push(...(inputs.sources ?? []).slice(inputFiles.length))
    const parentContent = onItsOwn(op) ? undefined : await this.#contentIdIfUseful(op, inputs, parent)
    const contentInputs: StepInputs = {
      ...inputs,
      ...(onItsOwn(op) ? {} : { parent: `content ${parentContent ?? 'not needed'}` }),
      sources: digests,
    }
    return { key: cacheKey(contentInputs), inputs: contentInputs, files, parentContent }
  }

  /** Content identity of the step below; a layer still being packed is only waited for when that may spare the step. */
  async #contentIdIfUseful(op: Op, inputs: StepInputs, parent: StepBelow | undefined): Promise<string | undefined> {
    if (parent === undefined) return emptyContentId
    return op.ignoreCache !== undefined || !this.#options.cache.hasDefinition(inputs)
      ? undefined
      : await parent.contentId()
  }

  /** Runs `action`, which shows its failure itself. */
  async #locating<Result>(op: Op, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action()
    } catch (error) {
      const located = atRange(error, this.#options.dockerfile, op.range, { title: op.title, logTail: [] })
      this.#options.stop.abort(located)
      throw located
    }
  }

  async #failingAt<Result>(op: Op, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action()
    } catch (error) {
      const located = atRange(error, this.#options.dockerfile, op.range, { title: op.title, logTail: [] })
      const now = Date.now()
      if (!this.#options.stop.signal.aborted)
        this.#options.progress({
          type: 'vertex',
          id: stepId(op),
          name: op.title,
          started: now,
          completed: now,
          error: located.message,
        })
      this.#options.stop.abort(located)
      throw located
    }
  }
}

/** True for a step whose layer is the same whatever is below it, so that its key says nothing of that. */
export function onItsOwn(op: Op): boolean {
  return op.kind === 'copy' && !dependsOnParent(op)
}

function sourceLabel({ source, pattern }: FileInput): string {
  const from = source.from === 'context' ? source.name : source.label
  return from === undefined ? pattern : `${pattern} from ${from}`
}
