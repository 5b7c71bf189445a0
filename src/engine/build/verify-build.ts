import { type DatedFile, datedFiles } from '../../analysis/dated-files.ts'
import { compareLayers, type LayerDifference } from '../../analysis/layer-difference.ts'
import { BuildCache } from '../../build/cache.ts'
import type { Op } from '../../build/graph.ts'
import type { Trial } from '../../build/trial.ts'
import { neededOps } from '../../build/needed-ops.ts'
import { collectGarbage } from '../../content/gc.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import { makeDirectories } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { ImageConfig } from '../../oci/config.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Snapshots } from '../../snapshots/snapshots.ts'
import { build, type BuildOptions, type BuildResult } from './build.ts'
import type { SolvedPlans } from './solve-plans.ts'

/** A step whose layer came out otherwise the second time. */
export interface StepVariation {
  /** Of the Dockerfile, from 1. */
  readonly line: number
  /** The instruction, expanded. */
  readonly instruction: string
  readonly title: string
  /** Layers of the build that is kept, and of the second one. */
  readonly first: Digest
  readonly second: Digest
  /** Lines of steps that it stands on or copies from and that differ, too: perhaps that is all. */
  readonly after: readonly number[]
  /** Undefined where the archives differ and not what is in them, or a layer is not here. */
  readonly difference: LayerDifference | undefined
}

/** A step that gave the same layer twice, which says on which day that was. */
export interface DatedStep {
  /** Of the Dockerfile, from 1. */
  readonly line: number
  readonly instruction: string
  readonly files: readonly DatedFile[]
}

/** What building twice came to. */
export interface Verification {
  readonly isReproducible: boolean
  /** Steps with a layer that were compared. */
  readonly compared: number
  /** Instructions whose first layer is not in the cache any more. */
  readonly unknown: readonly string[]
  readonly variations: readonly StepVariation[]
  readonly dated: readonly DatedStep[]
  /** `created` of both, for each platform where it is not the same: times are real then. */
  readonly created: readonly { readonly first: string | undefined; readonly second: string | undefined }[]
}

/** Milliseconds that no two things of the two builds have in common: tars keep seconds, zip archives two of them. */
const apart = 2100

/**
 * Builds once more what `first` came from, and compares: every step runs again, with caches of its own for cache mounts,
 * with another umask and time zone and in another directory and second; nothing of it is kept. Throws as build().
 */
export async function verifyBuild(store: Store, options: BuildOptions, first: BuildResult): Promise<Verification> {
  using leftovers = new DisposableStack()
  const cacheMounts = store.session.temporaryPath('trial')
  makeDirectories(cacheMounts)
  leftovers.defer(() => removeTree(cacheMounts))
  const trial: Trial = { cacheMounts, leftovers }
  await Bun.sleep(apart)
  let comparison: StepComparison | undefined
  const {
    cacheFrom: _from,
    cacheTo: _to,
    onSteps: _steps,
    onFailure: _failure,
    push: _push,
    attestations: _attestations,
    ...kept
  } = options
  const second = await inOtherSurroundings(store, () =>
    build(store, {
      ...kept,
      run: { ...options.run, trial },
      noCache: '--verify-reproducible',
      failOnMiss: false,
      squash: false,
      isPullForced: false,
      outputs: [{ kind: 'none' }],
      tags: [],
      onSolved: async (solved, ops, lease) => {
        comparison = await new StepComparison(store, lease, solved, writtenAt(first.configs)).run(ops)
      },
    }),
  )
  if (comparison === undefined) throw new Error('nothing was compared')
  const created = differingTimes(first.configs, second.configs)
  const { variations, dated, compared, unknown } = comparison
  leftovers.dispose()
  if (variations.length > 0) await collectGarbage(store, { signal: options.signal })
  const isReproducible = variations.length === 0 && dated.length === 0 && created.length === 0
  return { isReproducible, compared, unknown, variations, dated, created }
}

/** The time that files have which a RUN wrote, in seconds. */
function writtenAt([config]: readonly ImageConfig[]): number {
  return Math.floor(Date.parse(config?.created ?? '') / 1000)
}

function differingTimes(first: readonly ImageConfig[], second: readonly ImageConfig[]): Verification['created'] {
  return first.flatMap(({ created }, index) => {
    const other = second[index]?.created
    return created === other ? [] : [{ first: created, second: other }]
  })
}

/** What a process has from its surroundings, changed while `work` is done. */
async function inOtherSurroundings<Result>(store: Store, work: () => Promise<Result>): Promise<Result> {
  const umask = process.umask()
  const zone = process.env['TZ']
  const directory = process.cwd()
  process.umask(umask === 0o077 ? 0o022 : 0o077)
  process.env['TZ'] = zone === 'Pacific/Kiritimati' ? 'America/Adak' : 'Pacific/Kiritimati'
  process.chdir(store.session.directory)
  try {
    return await work()
  } finally {
    process.umask(umask)
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
    process.chdir(directory)
  }
}

/** Compares the layers of a second build with those that the cache has of the first. */
class StepComparison {
  readonly variations: StepVariation[] = []
  readonly dated: DatedStep[] = []
  readonly unknown: string[] = []
  compared = 0
  readonly #first: BuildCache
  readonly #solved: SolvedPlans
  readonly #snapshots: Snapshots
  readonly #writtenAt: number
  readonly #seen = new Set<string>()
  readonly #differing = new Set<Op>()

  constructor(store: Store, lease: Lease, solved: SolvedPlans, writtenAt: number) {
    this.#first = new BuildCache(store, lease)
    this.#solved = solved
    this.#writtenAt = writtenAt
    this.#snapshots = solved.snapshots
  }

  async run(ops: readonly Op[]): Promise<this> {
    for (const op of ops) if (op.kind !== 'base') await this.#compare(op)
    return this
  }

  async #compare(op: Op): Promise<void> {
    const [step] = await this.#solved.steps([op])
    const key = step?.keys[0]
    // Two stages that begin alike have their steps in common.
    if (step === undefined || key === undefined || this.#seen.has(key)) return
    this.#seen.add(key)
    const before = this.#first.get(key)
    if (before === undefined) {
      this.unknown.push(op.text)
      return
    }
    this.compared++
    const [first, second] = [before.layer.diffId, step.result.layer.diffId]
    if (first === second) {
      if (op.kind === 'run') await this.#lookForDates(op, second)
      return
    }
    this.#differing.add(op)
    const after = neededOps(op).filter((needed) => this.#differing.has(needed))
    this.variations.push({
      line: op.range.start,
      instruction: op.text,
      title: op.title,
      first,
      second,
      after: after.map(({ range }) => range.start),
      difference: await this.#difference(first, second),
    })
  }

  async #lookForDates(op: Op, diffId: Digest): Promise<void> {
    const [layer] = await this.#snapshots.layerTrees([{ diffId }])
    if (layer === undefined) return
    const files = datedFiles(layer, this.#writtenAt, new Date())
    if (files.length > 0) this.dated.push({ line: op.range.start, instruction: op.text, files })
  }

  async #difference(first: Digest, second: Digest): Promise<LayerDifference | undefined> {
    try {
      const [from, to] = await this.#snapshots.layerTrees([{ diffId: first }, { diffId: second }])
      return from === undefined || to === undefined ? undefined : compareLayers(from, to)
    } catch (error) {
      // What a cache elsewhere has is not fetched to be looked at.
      if (isCairnError(error, 'BLOB_UNKNOWN')) return undefined
      throw error
    }
  }
}
