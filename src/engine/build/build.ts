import { type BuildContext, BuildContexts } from '../../build/context/context.ts'
import { BuildExecutor } from '../../build/executor.ts'
import type { BuildPlan, Op } from '../../build/graph.ts'
import { opsBehind } from '../../build/needed-ops.ts'
import { planBuild, type PlannedBuild } from '../../build/plan/plan.ts'
import type { JoinedPlans, PlanOptions } from '../../build/plan/plan-options.ts'
import { RemoteFiles } from '../../build/context/remote-files.ts'
import { resultConfig } from '../../build/result-image.ts'
import type { RunSettings } from '../../build/ops/run.ts'
import type { FailedCommand } from '../../build/running-step.ts'
import type { BuiltImage, SquashEnvironment } from '../../build/squash.ts'
import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import { storedImage } from '../../images/image.ts'
import type { ImageConfig } from '../../oci/config.ts'
import { serializeConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { Platform } from '../../oci/platform.ts'
import type { Reference } from '../../oci/reference.ts'
import type { FormedImage, UnformedImage } from '../../outputs/form-image.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { ExplainedStep } from '../../records/record.ts'
import { DeviceRegistry } from '../../runtime/cdi.ts'
import type { SourceLock } from '../../remote/source-lock.ts'
import { reapAbandoned } from '../../runtime/state.ts'
import type { AttestedBuild, BuildAttestations } from './attest-build.ts'
import { findDevices } from './build-devices.ts'
import { exportBuild, type ExportOptions } from './export-build.ts'
import type { BuildCaches, CacheRequest } from './build-caches.ts'
import { type SolvedPlans, type SolveEnvironment, solvePlans } from './solve-plans.ts'
import { secretFingerprint } from './secret-fingerprint.ts'
import { isIndexWanted } from './index-wanted.ts'
import { type PullBase, resolveBaseImage } from './base-images.ts'
import type { NamedSource } from './named-context-flags.ts'
import { BuildNamedContexts } from './named-contexts.ts'
import { remoteAccess } from '../registry/remote-access.ts'

export interface BuildOptions
  extends
    Omit<
      PlanOptions,
      'resolveImage' | 'findDevices' | 'secretFingerprint' | 'namedContexts' | 'ignore' | 'platform' | 'joined'
    >,
    CacheRequest,
    Pick<ExportOptions, 'outputs' | 'tags' | 'push' | 'stdout' | 'compressor' | 'concurrency'> {
  readonly dockerfile: Dockerfile
  readonly context: BuildContext
  /** Id of the step that read the Dockerfile. */
  readonly definition: string
  /** What to build for: several give an index; none leaves it to the base image, as docker does. */
  readonly platforms: readonly Platform[]
  /** `--attest`, `--provenance`, `--sbom`, and what `--metadata-file` tells. */
  readonly attestations?: BuildAttestations | undefined
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
  /** Called once all steps are done, while what they made is held by `lease`. */
  readonly onSolved?: (solved: SolvedPlans, ops: readonly Op[], lease: Lease) => Promise<void>
}

export interface BuildResult {
  /** Digest of the image's config. */
  readonly imageId: Digest
  /** Of the last output that is an image; undefined where there is none. */
  readonly manifest: Descriptor | undefined
  /** By which the last output that names one wrote it. */
  readonly names: readonly Reference[]
  readonly config: ImageConfig
  /** Of each platform, `config` the first. */
  readonly configs: readonly ImageConfig[]
  /** How each was made, where {@link BuildAttestations.told} asks for it. */
  readonly provenance: readonly object[] | undefined
  readonly steps: number
  readonly cached: number
}

/**
 * Builds an image from a Dockerfile and records it. Nothing is recorded, and no name moves, unless every step
 * succeeded. Throws DockerfileError and StepError with the place in the file, CANCELED when `signal` aborts.
 */
export async function build(store: Store, options: BuildOptions): Promise<BuildResult> {
  reapAbandoned(store.path('builds', 'run'))
  return await withLease(store, (lease) => buildUnder(store, lease, options))
}

async function buildUnder(store: Store, lease: Lease, options: BuildOptions): Promise<BuildResult> {
  const { dockerfile, context, progress, signal } = options
  const startedAt = new Date()
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
  const importing = openCaches(options, { store, lease })
  // Should the plan fail first, that is what is told.
  importing.catch(() => undefined)
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
  contexts.fixTimes(plans[0]?.fixedTime)
  for (const message of new Set(plans.flatMap(({ warnings }) => warnings.map((warning) => warning.message))))
    progress({ type: 'warning', vertex: options.definition, level: 1, short: message })
  using caches = await importing
  const remotes = new RemoteFiles(access, progress)
  const resultOps = new Set(plans.flatMap(({ target }) => stackOf(target)))
  try {
    const solve: SolveEnvironment = {
      store,
      lease,
      options,
      plans,
      imported: caches?.imported,
      contexts,
      remotes,
      executor: (solver, snapshots) =>
        new BuildExecutor({
          store,
          lease,
          snapshots,
          contexts,
          remotes,
          dockerfile: dockerfile.filename,
          epoch: plans[0]?.epoch,
          fixedTime: plans[0]?.fixedTime,
          run: { ...options.run, devices },
          signal: () => solver().signal,
          beforeRun: caches && ((op) => caches.beforeRun(op)),
        }),
      onSolver: (solver) => (running = () => solver.signal),
      onLayer: (op, { diffId }) => caches?.offer(diffId, resultOps.has(op)),
    }
    const solved = await solvePlans(solve)
    await options.onSolved?.(
      solved,
      plans.flatMap(({ ops }) => ops),
      lease,
    )
    await contexts.save()
    const images = await resultImages(plans, solved, { store, lease, options, caches })
    const isIndexForced = isIndexWanted(plans.length, options.buildArgs)
    const exporting = { ...options, store, lease, snapshots: solved.snapshots, epoch: plans[0]?.epoch, isIndexForced }
    const attested =
      options.attestations && (await attestedBy(options.attestations, { options, plans, images, startedAt }, solved))
    const exported = await exportBuild(images, { ...exporting, attestations: attested?.exported })
    const provenance = await attested?.told(exported?.images)
    const ops = plans.flatMap((plan) => plan.ops)
    if (caches !== undefined) {
      // What a history has of a large context takes long to read.
      const histories = plans.flatMap((_, index) => solved.histories(index))
      await caches.finish({ ops, resultOps, steps: solved.steps, facts: solved.facts, histories })
    }
    const { config } = images[0] as UnformedImage
    const imageId = exported?.imageId ?? digestOf(serializeConfig(config))
    const configs = images.map((image) => image.config)
    const { target: manifest, names = [] } = exported ?? {}
    return { imageId, manifest, names, config, configs, provenance, ...solved.counts }
  } finally {
    await caches?.settle()
  }
}

interface ResultOptions {
  readonly store: Store
  readonly lease: Lease
  readonly options: BuildOptions
  readonly caches: BuildCaches | undefined
}

/** The images of all platforms, with what caches elsewhere want in their configurations. */
async function resultImages(
  plans: readonly PlannedBuild[],
  solved: SolvedPlans,
  { store, lease, options, caches }: ResultOptions,
): Promise<UnformedImage[]> {
  const images: UnformedImage[] = []
  for (const [index, plan] of plans.entries()) {
    const layers = solved.filesystems[index] ?? []
    const made: BuiltImage = { config: resultConfig(plan, layers, new Date()), layers }
    const environment = { store, lease, snapshots: solved.snapshots }
    const built = options.squash === true ? await squashed(made, plan, environment, options.progress) : made
    const diffIds = built.layers.map(({ diffId }) => diffId)
    const config = await caches?.configWith(built.config, {
      // Steps that platforms share are in the plan of one of them only.
      ops: opsBehind(plan.target),
      resultOps: stackOf(plan.target),
      steps: solved.steps,
      facts: solved.facts,
      histories: () => solved.histories(index),
    })
    images.push({ config: config ?? built.config, diffIds, baseLayers: await baseLayersOf(store, plan) })
  }
  return images
}

interface Attested {
  readonly exported: ExportOptions['attestations']
  /** Given the images that were written. */
  readonly told: (images: readonly FormedImage[] | undefined) => Promise<readonly object[] | undefined>
}

/** What the export attests of the images, and what is told of how they were made. */
async function attestedBy(
  attestations: BuildAttestations,
  build: Pick<AttestedBuild, 'options' | 'plans' | 'images' | 'startedAt'>,
  { snapshots, steps }: SolvedPlans,
): Promise<Attested> {
  const { metadataProvenance, predicateMaker } = await import('./attest-build.ts')
  const layerOf = async (op: Op): Promise<Digest | undefined> => (await steps([op]))[0]?.result.layer.diffId
  const attested = { ...build, attestations, snapshots, layerOf }
  const { settings, told } = attestations
  return {
    exported: settings && { store: settings.store, predicates: predicateMaker(attested, settings) },
    told: async (images) => told && (await metadataProvenance(attested, images, told)),
  }
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
  const { squashImage } = await import('../../build/squash.ts')
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

/** The layers that the result has of the image it is built on, as that has them. */
async function baseLayersOf(store: Store, { target }: BuildPlan): Promise<readonly Digest[]> {
  let lowest = target
  while (lowest?.parent !== undefined) lowest = lowest.parent
  if (lowest?.kind !== 'base') return []
  const { value: manifest } = await storedImage(store, lowest.image.digest).manifest()
  return manifest.layers.map(({ digest }) => digest)
}

/** An op and all that it stands on. */
function stackOf(target: Op | undefined): Op[] {
  const ops: Op[] = []
  for (let op = target; op !== undefined; op = op.parent) ops.unshift(op)
  return ops
}

/** The caches elsewhere that the build reads or writes; most do neither and need nothing of it. */
async function openCaches(
  options: BuildOptions,
  { store, lease }: { readonly store: Store; readonly lease: Lease },
): Promise<BuildCaches | undefined> {
  if ((options.cacheFrom ?? []).length + (options.cacheTo ?? []).length === 0) return undefined
  const { BuildCaches: caches } = await import('./build-caches.ts')
  return await caches.open({ ...options, store, lease })
}
