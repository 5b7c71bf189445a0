import { adviseSteps } from '../../build/explain/advice.ts'
import { BuildCache, type CachedStep, definitionKey } from '../../build/cache.ts'
import { BuildHistory } from '../../build/explain/build-history.ts'
import type { Op } from '../../build/graph.ts'
import type { PackedLayer } from '../../build/layer.ts'
import type { PlannedBuild } from '../../build/plan/plan.ts'
import { baseName } from '../../build/paths.ts'
import type { BuildContexts } from '../../build/context/context.ts'
import type { RemoteFiles } from '../../build/context/remote-files.ts'
import { type KeyedStep, Solver, type SolveOptions, type StepExecutor } from '../../build/solve.ts'
import type { StepReport } from '../../build/step-reports.ts'
import { TrialCache } from '../../build/trial.ts'
import { listLayerForms } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import { acquireLock } from '../../content/lock.ts'
import type { Store } from '../../content/store.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import { namesSecret } from '../../dockerfile/lint/secrets-used-in-arg-or-env.ts'
import { redactUrls } from '../../errors/redact.ts'
import { formatPlatform } from '../../oci/platform.ts'
import type { ExplainedStep } from '../../records/record.ts'
import type { NamedHistory } from '../../remote-cache/cache-document.ts'
import { buildkitContentHashes } from '../../remote-cache/buildkit-content.ts'
import type { ImportedCaches } from '../../remote-cache/import-cache.ts'
import { buildkitRemoteKey } from '../../remote-cache/buildkit-remote.ts'
import type { BuildkitFacts } from '../../remote-cache/match-buildkit.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'
import type { BuildOptions } from './build.ts'

/** What bringing the plans of a build about needs. */
export interface SolveEnvironment {
  readonly store: Store
  readonly lease: Lease
  readonly options: BuildOptions
  /** One for each platform. */
  readonly plans: readonly PlannedBuild[]
  /** Caches elsewhere to take results from. */
  readonly imported: ImportedCaches | undefined
  readonly contexts: BuildContexts
  readonly remotes: RemoteFiles
  readonly executor: (solver: () => Solver, snapshots: Snapshots) => StepExecutor
  /** Told of each solver before it begins. */
  readonly onSolver: (solver: Solver) => void
  readonly onLayer: NonNullable<SolveOptions['onLayer']>
}

/** What solving came to. */
export interface SolvedPlans {
  /** The layers of each plan's target. */
  readonly filesystems: readonly (readonly PackedLayer[])[]
  readonly snapshots: Snapshots
  readonly counts: { readonly steps: number; readonly cached: number }
  /** The results of ops, as caches have them. */
  readonly steps: (ops: readonly Op[]) => Promise<readonly CachedStep[]>
  /** What BuildKit's caches know sources by. */
  readonly facts: BuildkitFacts
  /** What the next build of one of the plans will be explained with. */
  readonly histories: (plan: number) => readonly NamedHistory[]
}

/**
 * Brings about what the plans ask for. Where an imported cache turns out to be wrong or gone, all is decided anew
 * without it; what has been run until then is in the store's own cache. Throws as {@link Solver.solve}.
 */
export async function solvePlans(environment: SolveEnvironment): Promise<SolvedPlans> {
  const { imported, options } = environment
  for (;;) {
    const dropped = imported?.dropped
    try {
      return await solveOnce(environment)
    } catch (error) {
      if (imported?.dropped === dropped || options.signal.aborted) throw error
    }
  }
}

async function solveOnce(environment: SolveEnvironment): Promise<SolvedPlans> {
  const { store, lease, options, plans, imported, onLayer } = environment
  const { dockerfile, progress, signal, onFailure, failOnMiss } = options
  const snapshots = new Snapshots(store, lease, imported && ((diffId) => imported.bring(diffId)))
  const isTrial = options.run.trial !== undefined
  const cache = isTrial ? new TrialCache(store, lease) : new BuildCache(store, lease, imported)
  const ops = plans.flatMap((plan) => plan.ops)
  const histories = plans.map((plan) => historyOf(environment, plan))
  const historyOfOp = new Map(plans.flatMap((plan, index) => plan.ops.map((op) => [op, histories[index]] as const)))
  const solver: Solver = new Solver({
    dockerfile,
    cache,
    history: (op) => historyOfOp.get(op) as BuildHistory,
    executor: environment.executor(() => solver, snapshots),
    progress,
    signal,
    onFailure,
    onKeys: (steps) => matchForeign(environment, steps),
    onLayer,
    failOnMiss,
    epoch: plans[0]?.epoch,
    fixedTime: plans[0]?.fixedTime,
    claim: async (key, onWait) => {
      const lock = await acquireLock(store, `step ${key}`, { signal: solver.signal, onWait })
      return { release: () => lock.release() }
    },
  })
  environment.onSolver(solver)
  let filesystems: readonly (readonly PackedLayer[])[]
  try {
    const targets = plans.map(({ target }) => target)
    filesystems = await solver.solve(
      ops,
      targets,
      plans.flatMap((plan) => plan.wanted),
    )
  } finally {
    options.onSteps?.(explained(dockerfile, solver.reports(ops)))
  }
  await takeImported(environment, filesystems, cache, snapshots)
  if (!isTrial) for (const { ops: own } of plans) await solver.remember(own)
  const { filename } = dockerfile
  return {
    filesystems,
    snapshots,
    counts: solver.counts,
    steps: (wanted) => solver.cachedSteps(wanted),
    facts: buildkitFacts(environment),
    histories: (index) => {
      const [plan, history] = [plans[index], histories[index]]
      if (plan === undefined || history === undefined) return []
      return [{ dockerfile: baseName(filename), platform: formatPlatform(plan.platform), ...history.stored() }]
    },
  }
}

/** Finds the steps in caches of BuildKit, which go by other keys; files are hashed where that can find something. */
function matchForeign(environment: SolveEnvironment, steps: readonly KeyedStep[]): void {
  environment.imported?.match(
    steps.map(({ op, key, inputs }) => ({ op, key, definition: definitionKey(inputs) })),
    buildkitFacts(environment),
  )
}

/** What BuildKit knows sources by; what is read of contexts is hashed once. */
function buildkitFacts({ contexts, remotes }: SolveEnvironment): BuildkitFacts {
  const hashes = new Map<string, readonly string[]>()
  return {
    hashContent: (input) =>
      hashes.getOrInsertComputed(JSON.stringify(input), () =>
        input.selectors.length === 0 ? [] : buildkitContentHashes(contexts.get(input.name).tree, input.selectors),
      ),
    remoteKey: (source) => {
      const resolved = remotes.resolved(source)
      return resolved && buildkitRemoteKey(source, resolved)
    },
  }
}

function historyOf({ store, options, imported }: SolveEnvironment, { platform, ops }: PlannedBuild): BuildHistory {
  const { context, dockerfile, buildArgs } = options
  const name = formatPlatform(platform)
  const others = imported?.histories(baseName(dockerfile.filename), name)
  const given = [...buildArgs.values()].filter((value) => value !== '')
  const facts = {
    stages: new Set(['', ...dockerfile.stages.map(({ from }, index) => from.name ?? `stage-${index}`)]),
    ignored: context.ignore?.patterns ?? [],
    // What comes from the command line may be a secret whatever it is called.
    mayTell: (variable: string, value: string) =>
      !namesSecret(variable) && redactUrls(value) === value && !given.some((argument) => value.includes(argument)),
  }
  return new BuildHistory(store, [context.identity, dockerfile.filename, name], ops, facts, others)
}

/** Brings the layers that the outputs need, and keeps what was used of imported caches once it is verified. */
async function takeImported(
  { store, options, imported }: SolveEnvironment,
  filesystems: readonly (readonly PackedLayer[])[],
  cache: BuildCache,
  snapshots: Snapshots,
): Promise<void> {
  const { borrowed } = cache
  if (imported === undefined || borrowed.length === 0) return
  const { outputs } = options
  if (outputs.length === 0 || outputs.some(({ kind }) => kind !== 'none')) {
    const missing = filesystems.flat().filter(({ diffId }) => listLayerForms(store, diffId).length === 0)
    const results = await Promise.allSettled(missing.map(({ diffId }) => imported.bring(diffId)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
  await imported.verify(borrowed)
  for (const layers of filesystems)
    await imported.checkStack(
      layers.map(({ diffId }) => diffId),
      (diffIds) => snapshots.layerTrees(diffIds.map((diffId) => ({ diffId }))),
    )
  cache.keep(borrowed.filter(({ result }) => imported.isVerified(result.layer.diffId)))
}

function explained(dockerfile: Dockerfile, steps: readonly StepReport[]): ExplainedStep[] {
  const advice = adviseSteps(dockerfile, steps)
  return steps.map((step) => {
    const texts = advice.get(step.id)
    return texts === undefined ? step : { ...step, advice: texts }
  })
}
