import { adviseSteps } from '../build/advice.ts'
import { BuildCache } from '../build/cache.ts'
import { BuildHistory } from '../build/build-history.ts'
import { type BuildContext, BuildContexts } from '../build/context.ts'
import { BuildExecutor } from '../build/executor.ts'
import type { BuildPlan, Op } from '../build/graph.ts'
import type { PackedLayer } from '../build/layer.ts'
import { type JoinedPlans, planBuild, type PlannedBuild, type PlanOptions } from '../build/plan.ts'
import { RemoteFiles } from '../build/remote-files.ts'
import { resultConfig } from '../build/result-image.ts'
import type { RunSettings } from '../build/ops/run.ts'
import type { FailedCommand } from '../build/running-step.ts'
import { Solver } from '../build/solve.ts'
import { type BuiltImage, squashImage, type SquashEnvironment } from '../build/squash.ts'
import type { StepReport } from '../build/step-reports.ts'
import { withLease } from '../content/leased-work.ts'
import type { Lease } from '../content/leases.ts'
import { acquireLock } from '../content/lock.ts'
import { recover } from '../content/recovery.ts'
import type { Store } from '../content/store.ts'
import type { Dockerfile } from '../dockerfile/instruction.ts'
import type { ImageConfig } from '../oci/config.ts'
import { serializeConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { UnformedImage } from '../outputs/form-image.ts'
import type { ProgressListener } from '../progress/events.ts'
import type { ExplainedStep } from '../records/record.ts'
import { DeviceRegistry } from '../runtime/cdi.ts'
import type { SourceLock } from '../remote/source-lock.ts'
import { reapAbandoned } from '../runtime/state.ts'
import { Snapshots } from '../snapshots/snapshots.ts'
import { findDevices } from './build-devices.ts'
import { exportBuild, type ExportOptions } from './export-build.ts'
import { secretFingerprint } from './secret-fingerprint.ts'
import { type PullBase, resolveBaseImage } from './base-images.ts'
import type { NamedSource } from './named-context-flags.ts'
import { BuildNamedContexts } from './named-contexts.ts'
import { remoteAccess } from './remote-access.ts'

export interface BuildOptions
  extends
    Omit<
      PlanOptions,
      'resolveImage' | 'findDevices' | 'secretFingerprint' | 'namedContexts' | 'ignore' | 'platform' | 'joined'
    >,
    Pick<ExportOptions, 'outputs' | 'tags' | 'push' | 'stdout' | 'compressor' | 'concurrency'> {
  readonly dockerfile: Dockerfile
  readonly context: BuildContext
  /** Id of the step that read the Dockerfile. */
  readonly definition: string
  /** What to build for: several give an index; none leaves it to the base image, as docker does. */
  readonly platforms: readonly Platform[]
  /** `--lock`: what sources have to be. It is the caller who keeps what it has learnt. */
  readonly lock?: SourceLock | undefined
  /** `--build-context`. */
  readonly namedContexts?: ReadonlyMap<string, NamedSource>
  /** Brings base images that are not in the store; without it they have to be there. */
  readonly pullBase?: PullBase | undefined
  /** `--pull`: asks registries for base images though they are in the store. */
  readonly isPullForced?: boolean
  readonly run: RunSettings
  /** `--squash`: the new layers become one. */
  readonly squash?: boolean
  /** Environment of the command: proxies, certificates, where programs are. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly progress: ProgressListener
  readonly signal: AbortSignal
  /** Called for the first RUN that fails, its container still there, when all else has been told to stop. */
  readonly onFailure?: ((command: FailedCommand) => Promise<void>) | undefined
  /** `--fail-on-miss`: a step that is not in the cache fails the build. */
  readonly failOnMiss?: boolean | undefined
  /** Told what became of the steps, also where one failed. */
  readonly onSteps?: (steps: readonly ExplainedStep[]) => void
}

export interface BuildResult {
  /** Digest of the image's config. */
  readonly imageId: Digest
  /** Of the first output that is an image; undefined where there is none. */
  readonly manifest: Descriptor | undefined
  readonly config: ImageConfig
  readonly steps: number
  readonly cached: number
}

/**
 * Builds an image from a Dockerfile and records it. Nothing is recorded, and no name moves, unless every step
 * succeeded. Throws DockerfileError and StepError with the place in the file, CANCELED when `signal` aborts.
 */
export async function build(store: Store, options: BuildOptions): Promise<BuildResult> {
  recover(store)
  reapAbandoned(store.path('builds', 'run'))
  return await withLease(store, (lease) => buildUnder(store, lease, options))
}

async function buildUnder(store: Store, lease: Lease, options: BuildOptions): Promise<BuildResult> {
  const { dockerfile, context, progress, signal } = options
  using contexts = new BuildContexts(context)
  const devices = options.run.devices ?? new DeviceRegistry()
  let running = (): AbortSignal => signal
  using access = remoteAccess({
    store,
    lease,
    env: options.env,
    secrets: options.run.secrets,
    agents: options.run.agents,
    lock: options.lock,
    signal: () => running(),
  })
  const { pullBase, isPullForced } = options
  const bases = { store, lease, lock: options.lock, pullBase, isPullForced }
  const sources = options.namedContexts ?? new Map<string, NamedSource>()
  const plans = await planPlatforms(options.platforms, {
    ...options,
    ignore: context.ignore,
    findDevices: (wanted) => findDevices(devices, options.allow, wanted),
    secretFingerprint: secretFingerprint(store, options.run.secrets),
    namedContexts: new BuildNamedContexts({ sources, contexts, access, bases, progress }),
    resolveImage: (reference, platform) => resolveBaseImage(bases, reference, platform, progress),
  })
  for (const message of new Set(plans.flatMap(({ warnings }) => warnings.map((warning) => warning.message))))
    progress({ type: 'warning', vertex: options.definition, level: 1, short: message })
  const snapshots = new Snapshots(store, lease)
  const ops = plans.flatMap((plan) => plan.ops)
  const historyOf = new Map<Op, BuildHistory>()
  for (const plan of plans) {
    const scope = [context.identity, dockerfile.filename, formatPlatform(plan.platform)]
    const history = new BuildHistory(store, scope, plan.ops)
    for (const op of plan.ops) historyOf.set(op, history)
  }
  const epoch = plans[0]?.epoch
  const solver: Solver = new Solver({
    dockerfile,
    cache: new BuildCache(store, lease),
    history: (op) => historyOf.get(op) as BuildHistory,
    executor: new BuildExecutor({
      store,
      lease,
      snapshots,
      contexts,
      remotes: new RemoteFiles(access, progress),
      dockerfile: dockerfile.filename,
      epoch,
      run: { ...options.run, devices },
      signal: () => solver.signal,
    }),
    progress,
    signal,
    onFailure: options.onFailure,
    failOnMiss: options.failOnMiss,
    epoch,
    claim: async (key, onWait) => {
      const lock = await acquireLock(store, `step ${key}`, { signal: solver.signal, onWait })
      return { release: () => lock.release() }
    },
  })
  running = () => solver.signal
  let filesystems: readonly (readonly PackedLayer[])[]
  try {
    const targets = plans.map(({ target }) => target)
    const wanted = plans.flatMap((plan) => plan.wanted)
    filesystems = await solver.solve(ops, targets, wanted)
  } finally {
    options.onSteps?.(explained(dockerfile, solver.reports(ops)))
  }
  for (const { ops: own } of plans) await solver.remember(own)
  await contexts.save()
  const images: UnformedImage[] = []
  for (const [index, plan] of plans.entries()) {
    const layers = filesystems[index] ?? []
    const made: BuiltImage = { config: resultConfig(plan, layers, new Date()), layers }
    const built = options.squash === true ? await squashed(made, plan, { store, lease, snapshots }, progress) : made
    const diffIds = built.layers.map(({ diffId }) => diffId)
    images.push({ config: built.config, diffIds, baseLayers: baseLayersOf(plan) })
  }
  const isIndexForced = /^(?:1|t|true)$/i.test(options.buildArgs.get('BUILDKIT_MULTI_PLATFORM') ?? '')
  const exported = await exportBuild(images, { ...options, store, lease, snapshots, epoch, isIndexForced })
  const { config } = images[0] as UnformedImage
  const imageId = exported?.imageId ?? digestOf(serializeConfig(config))
  return { imageId, manifest: exported?.target, config, ...solver.counts }
}

/** The plans for all platforms, in one graph where there are several; the Dockerfile is judged once. */
async function planPlatforms(
  platforms: readonly Platform[],
  options: Omit<PlanOptions, 'platform' | 'joined'>,
): Promise<readonly PlannedBuild[]> {
  if (platforms.length < 2) return [await planBuild({ ...options, platform: platforms[0] })]
  const joined: JoinedPlans = { ops: [], bases: new Map() }
  const plans: PlannedBuild[] = []
  for (const platform of platforms) {
    const linter = plans.length === 0 ? options.linter : undefined
    plans.push(await planBuild({ ...options, platform, joined, linter }))
  }
  return plans
}

async function squashed(
  made: BuiltImage,
  plan: BuildPlan,
  environment: SquashEnvironment,
  progress: ProgressListener,
): Promise<BuiltImage> {
  const vertex = { type: 'vertex', id: 'squash', name: 'squashing layers', started: Date.now() } as const
  progress(vertex)
  const built = await squashImage(made, plan, environment)
  const id = `${made.layers.length - built.layers.length + 1} layers into one`
  const now = Date.now()
  progress({
    type: 'status',
    vertex: 'squash',
    id,
    current: 0,
    total: 0,
    timestamp: now,
    started: vertex.started,
    completed: now,
  })
  progress({ ...vertex, completed: now })
  return built
}

/** How many of the result's layers come from the image it is built on. */
function baseLayersOf({ target }: BuildPlan): number {
  let lowest = target
  while (lowest?.parent !== undefined) lowest = lowest.parent
  return lowest?.kind === 'base' ? lowest.image.config.rootfs.diff_ids.length : 0
}

function explained(dockerfile: Dockerfile, steps: readonly StepReport[]): ExplainedStep[] {
  const advice = adviseSteps(dockerfile, steps)
  return steps.map((step) => {
    const texts = advice.get(step.id)
    return texts === undefined ? step : { ...step, advice: texts }
  })
}
