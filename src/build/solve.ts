import { CairnError } from '../errors/error.ts'
import type { Dockerfile } from '../dockerfile/instruction.ts'
import type { ProgressListener } from '../progress/events.ts'
import { type BuildCache, type CachedResult, type CachedStep, contentIdOf, emptyContentId } from './cache.ts'
import { cacheKey, type CacheKey, remoteSources, type StepInputs } from './cache-key.ts'
import type { BuildHistory } from './explain/build-history.ts'
import type { Op } from './graph.ts'
import { isFirst, type Miss, missText } from './explain/miss.ts'
import { type FailedCommand, RunningStep, type StepLog } from './running-step.ts'
import { baseLayer, type Filesystem, type Layer, type PackedLayer, storedLayer } from './layer.ts'
import { type ContentKey, onItsOwn, type SourceReader, type StepKey, StepKeys } from './step-keys.ts'
import { neededOps, readOps } from './needed-ops.ts'
import { type StepReport, StepReports } from './step-reports.ts'

/** What the solver needs done; the ops' own modules do it. */
export interface StepExecutor extends SourceReader {
  /** Runs the step on `parent` and gives the layer it made. `sources` are the filesystems of the op's file sources. */
  execute(op: Op, parent: Filesystem, sources: ReadonlyMap<Op, Filesystem>, log: StepLog): Promise<Layer>
  /** Bytes of a base image's layer. */
  layerSize(diffId: Layer['diffId']): number
}

export interface SolveOptions {
  readonly dockerfile: Dockerfile
  readonly cache: BuildCache
  /** The history of an op's build: each platform has its own. */
  readonly history: (op: Op) => BuildHistory
  readonly executor: StepExecutor
  readonly progress: ProgressListener
  readonly signal: AbortSignal
  readonly epoch: number | undefined
  /** Undefined where times are real, see `BuildPlan`. */
  readonly fixedTime: number | undefined
  /** Called for the first command that ends badly, its error with its place, when all else has been told to stop. */
  readonly onFailure?: ((command: FailedCommand) => Promise<void>) | undefined
  /** Told of all steps and their keys before any is looked up. */
  readonly onKeys?: ((steps: readonly KeyedStep[]) => void) | undefined
  /** Told of the layer of each step, once it was found or packed. */
  readonly onLayer?: ((op: Op, layer: PackedLayer) => void) | undefined
  /** Fails with CACHE_MISS instead of running a step. */
  readonly failOnMiss?: boolean | undefined
  /** Waits until no other process runs the step with this key, and keeps others from it until released. */
  readonly claim: (key: CacheKey, onWait: (holder: string) => void) => Promise<{ readonly release: () => void }>
}

/** A step with its key and what that is made of. */
export interface KeyedStep {
  readonly op: Op
  readonly key: CacheKey
  readonly inputs: StepInputs
}

interface StepResult {
  readonly filesystem: Filesystem
  /** Content identity of the filesystem; known when its layers are packed. */
  readonly contentId: () => Promise<string>
  /** Why it was run, or what is new about a base image; undefined for what is as it was. */
  readonly miss: Miss | undefined
}

/** What a step that is not in the cache is run with. */
interface StepStart {
  readonly parent: StepResult | undefined
  /** Of the steps that it takes files from. */
  readonly sources: ReadonlyMap<Op, StepResult>
  readonly byContent: ContentKey | undefined
}

/**
 * Brings the target's filesystem about: each step is looked up by key and only what is missing is run, everything that
 * can at once. Stages that only a hit would read are not even looked at. The first failure stops all that runs.
 */
export class Solver {
  readonly #options: SolveOptions
  readonly #keys: StepKeys
  readonly #results = new Map<Op, Promise<StepResult>>()
  readonly #reports: StepReports
  /** Ops that are to be run without the cache, and those that need their results. */
  readonly #renewed = new Set<Op>()
  /** First op with a key, whether or not it may come from the cache. */
  readonly #twins = new Map<string, Op>()
  readonly #packing: Promise<unknown>[] = []
  /** Remote sources that were asked for. */
  readonly #asked: Promise<unknown>[] = []
  readonly #stop = new AbortController()

  constructor(options: SolveOptions) {
    this.#options = options
    this.#reports = new StepReports(options.progress)
    options.signal.addEventListener('abort', () => this.#stop.abort(options.signal.reason), { once: true })
    if (options.signal.aborted) this.#stop.abort(options.signal.reason)
    this.#keys = new StepKeys({ ...options, stop: this.#stop })
  }

  /** How many steps there were, and how many of those were hits. */
  get counts(): { readonly steps: number; readonly cached: number } {
    return this.#reports.counts
  }

  /** Aborted when the build is, or when a step failed. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /**
   * The filesystems after each of `targets`, their layers packed and in the cache; what is `wanted` besides is brought
   * about too. Throws StepError for a step that failed.
   */
  async solve(
    ops: readonly Op[],
    targets: readonly (Op | undefined)[],
    wanted: readonly Op[] = [],
  ): Promise<readonly (readonly PackedLayer[])[]> {
    this.#reports.plan(ops)
    // Ops come after those they need.
    for (const op of ops)
      if (op.ignoreCache !== undefined || neededOps(op).some((needed) => this.#renewed.has(needed)))
        this.#renewed.add(op)
    try {
      await this.#prepare(ops)
      const results = await Promise.all([
        ...targets.map((op) => (op === undefined ? undefined : this.#result(op))),
        ...wanted.map((op) => this.#result(op)),
      ])
      const layers = await Promise.all(
        results
          .slice(0, targets.length)
          .map(async (result) => await Promise.all((result?.filesystem ?? []).map((layer) => layer.packed()))),
      )
      await Promise.all(this.#packing)
      this.#reports.untouched(ops)
      return layers
    } catch (error) {
      this.#stop.abort(error)
      // Whatever was started comes to an end before the caller cleans up.
      await Promise.allSettled([...this.#asked, ...this.#keys.asked(), ...this.#results.values(), ...this.#packing])
      throw error
    }
  }

  /** What became of each of `ops`, also where the build failed. */
  reports(ops: readonly Op[]): readonly StepReport[] {
    return this.#reports.of(ops)
  }

  /** Keeps what the steps of one platform were made of, so that the next build can say what changed. */
  async remember(ops: readonly Op[]): Promise<void> {
    const [first] = ops
    if (first === undefined) return
    const history = this.#options.history(first)
    history.save(await Promise.all(ops.map(async (op) => ({ op, ...(await this.#keys.of(op)) }))))
  }

  /** The results of `ops`, as far as there are any, with all that they are found by. */
  async cachedSteps(ops: readonly Op[]): Promise<readonly CachedStep[]> {
    const steps: CachedStep[] = []
    for (const op of ops) {
      const step = this.#options.cache.step((await this.#keys.of(op)).key)
      if (step !== undefined) steps.push(step)
    }
    return steps
  }

  /** Finds the keys of all steps, and with them what is looked at for several steps at once. */
  async #prepare(ops: readonly Op[]): Promise<void> {
    const { cache, executor, onKeys } = this.#options
    // Servers are slow and independent of each other: all of them are asked at once.
    for (const op of ops)
      for (const source of remoteSources(op)) this.#asked.push(executor.resolveRemote(source, op.title))
    // In this order each finds the keys of the steps before it. Whatever COPY names is missed before anything runs.
    const keys = await Promise.all(ops.map((op) => this.#keys.of(op)))
    cache.prepare(keys.map(({ key }) => key))
    this.#chooseHistories(ops, keys)
    onKeys?.(ops.flatMap((op, index) => (keys[index] === undefined ? [] : [{ op, ...keys[index] }])))
  }

  /** What misses are explained with is the build that came closest to this one. */
  #chooseHistories(ops: readonly Op[], keys: readonly StepKey[]): void {
    const byHistory = Map.groupBy(ops.entries(), ([, op]) => this.#options.history(op))
    for (const [history, own] of byHistory) history.choose(new Set(own.map(([index]) => keys[index]?.key ?? '')))
  }

  #result(op: Op): Promise<StepResult> {
    let result = this.#results.get(op)
    if (result === undefined) this.#results.set(op, (result = this.#find(op)))
    return result
  }

  async #find(op: Op): Promise<StepResult> {
    this.#reports.begin()
    this.#stop.signal.throwIfAborted()
    if (op.kind === 'base') return this.#base(op)
    const { key, inputs } = await this.#keys.of(op)
    if (!onItsOwn(op)) {
      const name = `${key} ${op.ignoreCache}`
      const twin = this.#twins.get(name)
      if (twin !== undefined) return await this.#sameAs(twin, op)
      this.#twins.set(name, op)
    }
    const hit = op.ignoreCache !== undefined || this.#readsRenewed(op) ? undefined : this.#options.cache.get(key)
    if (hit !== undefined) {
      const result = await this.#hit(op, hit)
      if (result !== undefined) return result
    }
    const [parent, sources] = await this.#dependencies(op)
    const byContent = await this.#keys.byContent(op, parent, sources)
    if (op.ignoreCache === undefined && byContent !== undefined) {
      const found = this.#options.cache.get(byContent.key)
      const result = found === undefined ? undefined : await this.#hit(op, found, byContent)
      if (found !== undefined && result !== undefined) {
        this.#options.cache.put([key, byContent.key], found, inputs)
        return result
      }
    }
    return await this.#run(op, { parent, sources, byContent })
  }

  /** True where files come from a step that is run without the cache: what they are is known only then. */
  #readsRenewed(op: Op): boolean {
    return neededOps(op).some((needed) => needed !== op.parent && this.#renewed.has(needed))
  }

  /** A step that another stage has word for word on the same filesystem: done once for both. */
  async #sameAs(twin: Op, op: Op): Promise<StepResult> {
    const result = await this.#result(twin)
    this.#reports.sameAs(twin, op)
    return result
  }

  async #base(op: Extract<Op, { kind: 'base' }>): Promise<StepResult> {
    const { executor, history } = this.#options
    this.#reports.base(op)
    const filesystem = op.image.config.rootfs.diff_ids.map((diffId) => baseLayer(diffId, executor.layerSize(diffId)))
    const { key } = await this.#keys.of(op)
    const miss = history(op).explainBase(op)
    if (miss !== undefined) this.#reports.note(op, { outcome: 'base', miss })
    // What else an image says reaches steps through their own fields.
    const hasSameFiles = history(op).formerKey(op) === key
    return { filesystem, contentId: () => Promise.resolve(key), miss: hasSameFiles ? undefined : miss }
  }

  /**
   * A step taken from the cache. The steps below are needed for their layers; where these are not what the layer was made
   * on, as one was run again or comes from another cache, there is no hit. Steps that files come from are not looked at.
   */
  async #hit(op: Op, hit: CachedResult, byContent?: ContentKey): Promise<StepResult | undefined> {
    const parent = op.parent === undefined ? undefined : await this.#result(op.parent)
    if (!(await this.#fits(op, hit, parent))) return undefined
    this.#reports.cached(op, this.#options.cache.originOf(hit))
    this.#options.onLayer?.(op, hit.layer)
    const history = this.#options.history(op)
    const key = withContent(await this.#keys.of(op), byContent)
    return {
      filesystem: [...(parent?.filesystem ?? []), storedLayer(hit.layer)],
      contentId: this.#contentIdOf(op, hit, parent),
      // Asked for where a step that stands on it has to run.
      get miss() {
        return history.difference(op, { ...key, below: parent?.miss })
      },
    }
  }

  /** The content identity of what there is with a result of the cache; one on its own may have been made on something else. */
  #contentIdOf(op: Op, result: CachedResult, parent: StepResult | undefined): StepResult['contentId'] {
    if (!onItsOwn(op)) return () => Promise.resolve(result.contentId)
    return async () =>
      contentIdOf(parent === undefined ? emptyContentId : await parent.contentId(), result.layer.contentDigest)
  }

  /** Whether a result was made on what is below the step now. */
  async #fits(op: Op, { parentContentId }: CachedResult, parent: StepResult | undefined): Promise<boolean> {
    return parent === undefined || onItsOwn(op) || (await parent.contentId()) === parentContentId
  }

  async #dependencies(op: Op): Promise<[StepResult | undefined, ReadonlyMap<Op, StepResult>]> {
    const [parent, ...sources] = await Promise.all([
      op.parent === undefined ? Promise.resolve(undefined) : this.#result(op.parent),
      ...[...readOps(op)].map(async (source) => [source, await this.#result(source)] as const),
    ])
    return [parent, new Map(sources)]
  }

  /** Runs a step, unless another process does so at the same time. */
  async #run(op: Op, from: StepStart): Promise<StepResult> {
    const miss = await this.#explain(op, from)
    const reason = isFirst(miss) ? undefined : missText(miss)
    const step = new RunningStep(op, { ...this.#options, reason, stop: this.#stop })
    try {
      this.#stop.signal.throwIfAborted()
      if (this.#options.failOnMiss === true) throw new CairnError('CACHE_MISS', `not in the cache: ${missText(miss)}`)
      const result = await this.#runClaimed(op, from, step)
      this.#reports.note(op, { outcome: 'ran' })
      return { ...result, miss }
    } catch (error) {
      const failure = step.failed(error)
      this.#reports.note(op, { outcome: failure.isCanceled ? 'canceled' : 'failed' })
      throw failure.error
    }
  }

  async #runClaimed(op: Op, from: StepStart, step: RunningStep): Promise<Omit<StepResult, 'miss'>> {
    const { cache, executor, claim } = this.#options
    const { parent, sources } = from
    const { key } = await this.#keys.of(op)
    const claimed = await claim(key, (holder) => step.log.waiting(`${holder} to run this step`))
    try {
      const below = parent?.filesystem ?? []
      // The process that was waited for may have done the work.
      const done = op.ignoreCache !== undefined ? undefined : cache.get(key)
      if (done !== undefined && (await this.#fits(op, done, parent))) {
        claimed.release()
        step.done(true)
        return { filesystem: [...below, storedLayer(done.layer)], contentId: this.#contentIdOf(op, done, parent) }
      }
      const files = new Map([...sources].map(([source, { filesystem }]) => [source, filesystem]))
      const layer = await executor.execute(op, below, files, step.log)
      const contentId = this.#record(op, layer, from).finally(claimed.release)
      contentId.catch(() => undefined)
      step.done(false)
      return { filesystem: [...below, layer], contentId: () => contentId }
    } catch (error) {
      claimed.release()
      throw error
    }
  }

  /** Why `op` has to run, which its report says too. */
  async #explain(op: Op, from: StepStart): Promise<Miss> {
    const { cache } = this.#options
    const miss = await this.#missOf(op, from, from.byContent?.parentContent)
    const former = this.#options.history(op).formerKey(op)
    const isFormerKept = former !== undefined && cache.has(former)
    this.#reports.note(op, { outcome: 'unreached', miss, isFormerKept })
    return miss
  }

  /** `below` is the content identity of what `op` stands on, where that is known. */
  async #missOf(op: Op, { parent, sources, byContent }: StepStart, below: string | undefined): Promise<Miss> {
    const { cache } = this.#options
    const history = this.#options.history(op)
    const step = withContent(await this.#keys.of(op), byContent)
    const former = history.formerKey(op)
    return history.explain(op, {
      ...step,
      isPruned: cache.wasPruned(step.key),
      below: onItsOwn(op) ? undefined : parent?.miss,
      belowIsSame: below !== undefined && former !== undefined && cache.madeOn(former) === below,
      source: [...sources].flatMap(([source, { miss: why }]) =>
        why === undefined ? [] : [{ op: source, miss: why }],
      )[0],
    })
  }

  /** Keeps the result once the layer is packed; gives the content identity then. */
  #record(op: Op, layer: Layer, from: StepStart): Promise<string> {
    const { parent, byContent } = from
    const contentId = (async () => {
      const [packed, below, { key, inputs }] = await Promise.all([
        layer.packed(),
        parent === undefined ? emptyContentId : parent.contentId(),
        this.#keys.of(op),
      ])
      const id = contentIdOf(below, packed.contentDigest)
      const keys = [key]
      const content: StepInputs = {
        ...inputs,
        ...(inputs.parent === undefined ? {} : { parent: `content ${below}` }),
        sources: byContent?.inputs.sources ?? inputs.sources ?? [],
      }
      // Without byContent the sources are all from the context, whose digests are by content anyway.
      keys.push(cacheKey(content))
      this.#options.cache.put(keys, { layer: packed, contentId: id, parentContentId: below }, inputs)
      this.#options.onLayer?.(op, packed)
      // Whether it stands on what it stood on may not have been known when it began.
      if (!onItsOwn(op) && byContent?.parentContent === undefined)
        this.#reports.correct(op, await this.#missOf(op, from, below))
      return id
    })()
    contentId.catch(() => undefined)
    this.#packing.push(contentId)
    return contentId
  }
}

/** The key by definition, with what is known by content of the files that the step reads. */
function withContent({ key, inputs, files }: StepKey, byContent: StepKey | undefined): StepKey {
  if (byContent === undefined) return { key, inputs, files }
  return {
    key,
    inputs: { ...inputs, sources: byContent.inputs.sources ?? [] },
    files: files.map((known, index) => known ?? byContent.files[index]),
  }
}
