import { adviseSteps } from '../build/advice.ts'
import { BuildCache } from '../build/cache.ts'
import { BuildHistory } from '../build/build-history.ts'
import { type BuildContext, BuildContexts } from '../build/context.ts'
import { BuildExecutor } from '../build/executor.ts'
import type { BuildPlan } from '../build/graph.ts'
import type { PackedLayer } from '../build/layer.ts'
import { planBuild, type PlanOptions } from '../build/plan.ts'
import { RemoteFiles } from '../build/remote-files.ts'
import { resultConfig } from '../build/result-image.ts'
import type { RunSettings } from '../build/ops/run.ts'
import type { FailedCommand } from '../build/running-step.ts'
import { Solver } from '../build/solve.ts'
import { type BuiltImage, squashImage } from '../build/squash.ts'
import type { StepReport } from '../build/step-reports.ts'
import { listLayerForms } from '../content/layer-records.ts'
import { acquireLease, type Lease } from '../content/leases.ts'
import { acquireLock } from '../content/lock.ts'
import { recover } from '../content/recovery.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Dockerfile } from '../dockerfile/instruction.ts'
import { putImage } from '../images/put-image.ts'
import { findByName } from '../images/resolve-image.ts'
import type { ImageConfig } from '../oci/config.ts'
import { serializeConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { formatPlatform } from '../oci/platform.ts'
import { type Reference, withDefaultTag, formatReference } from '../oci/reference.ts'
import type { ProgressListener } from '../progress/events.ts'
import type { ExplainedStep } from '../records/record.ts'
import { DeviceRegistry } from '../runtime/cdi.ts'
import type { SourceLock } from '../remote/source-lock.ts'
import { reapAbandoned } from '../runtime/state.ts'
import { Snapshots } from '../snapshots/snapshots.ts'
import { findDevices } from './build-devices.ts'
import { secretFingerprint } from './secret-fingerprint.ts'
import { resolveBaseImage } from './base-images.ts'
import type { NamedSource } from './named-context-flags.ts'
import { BuildNamedContexts } from './named-contexts.ts'
import { remoteAccess } from './remote-access.ts'

export interface BuildOptions extends Omit<
  PlanOptions,
  'resolveImage' | 'findDevices' | 'secretFingerprint' | 'namedContexts' | 'ignore'
> {
  readonly dockerfile: Dockerfile
  readonly context: BuildContext
  /** Id of the step that read the Dockerfile. */
  readonly definition: string
  /** `--lock`: what sources have to be. It is the caller who keeps what it has learnt. */
  readonly lock?: SourceLock | undefined
  /** `--build-context`. */
  readonly namedContexts?: ReadonlyMap<string, NamedSource>
  /** Names the image gets. */
  readonly tags: readonly Reference[]
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
  readonly manifest: Descriptor
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
  using lease = acquireLease(store)
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
  const sources = options.namedContexts ?? new Map<string, NamedSource>()
  const plan = await planBuild({
    ...options,
    ignore: context.ignore,
    findDevices: (wanted) => findDevices(devices, options.allow, wanted),
    secretFingerprint: secretFingerprint(store, options.run.secrets),
    namedContexts: new BuildNamedContexts({ sources, contexts, access, progress }),
    resolveImage: (reference, platform) => resolveBaseImage(access, reference, platform, progress),
  })
  for (const { message } of plan.warnings)
    progress({ type: 'warning', vertex: options.definition, level: 1, short: message })
  const snapshots = new Snapshots(store, lease)
  const solver: Solver = new Solver({
    dockerfile,
    cache: new BuildCache(store, lease),
    history: new BuildHistory(store, [context.identity, dockerfile.filename, formatPlatform(plan.platform)], plan.ops),
    executor: new BuildExecutor({
      store,
      lease,
      snapshots,
      contexts,
      remotes: new RemoteFiles(access, progress),
      dockerfile: dockerfile.filename,
      epoch: plan.epoch,
      run: { ...options.run, devices },
      signal: () => solver.signal,
    }),
    progress,
    signal,
    onFailure: options.onFailure,
    failOnMiss: options.failOnMiss,
    epoch: plan.epoch,
    claim: async (key, onWait) => {
      const lock = await acquireLock(store, `step ${key}`, { signal: solver.signal, onWait })
      return { release: () => lock.release() }
    },
  })
  running = () => solver.signal
  let layers: readonly PackedLayer[]
  try {
    layers = await solver.solve(plan.ops, plan.target, plan.wanted)
  } finally {
    options.onSteps?.(explained(dockerfile, solver.reports(plan.ops)))
  }
  await solver.remember(plan.ops)
  await contexts.save()
  const built = { config: resultConfig(plan, layers, new Date()), layers }
  const image = await exportImage(store, lease, plan, snapshots, built, options)
  return { ...image, ...solver.counts }
}

function explained(dockerfile: Dockerfile, steps: readonly StepReport[]): ExplainedStep[] {
  const advice = adviseSteps(dockerfile, steps)
  return steps.map((step) => {
    const texts = advice.get(step.id)
    return texts === undefined ? step : { ...step, advice: texts }
  })
}

/** Writes the image, shown as BuildKit shows its export. Does nothing where the very image has its names already. */
async function exportImage(
  store: Store,
  lease: Lease,
  plan: BuildPlan,
  snapshots: Snapshots,
  built: BuiltImage,
  { tags, progress, squash }: BuildOptions,
): Promise<Pick<BuildResult, 'imageId' | 'manifest' | 'config'>> {
  const started = Date.now()
  const vertex = { type: 'vertex', id: 'export', name: 'exporting to image', started } as const
  progress(vertex)
  const status = (id: string): void => {
    const now = Date.now()
    progress({ type: 'status', vertex: 'export', id, current: 0, total: 0, timestamp: now, started, completed: now })
  }
  const { config, layers } = squash === true ? await squashImage(built, plan, { store, lease, snapshots }) : built
  if (layers.length < built.layers.length)
    status(`squashing ${built.layers.length - layers.length + 1} layers into one`)
  const written = await recorded(store, lease, config, layers, tags)
  status('exporting layers')
  status(`writing image ${written.imageId}`)
  for (const tag of tags) status(`naming to ${formatReference(withDefaultTag(tag))}`)
  progress({ ...vertex, completed: Date.now() })
  return { ...written, config }
}

async function recorded(
  store: Store,
  lease: Lease,
  config: ImageConfig,
  layers: readonly PackedLayer[],
  tags: readonly Reference[],
): Promise<{ imageId: Digest; manifest: Descriptor }> {
  const raw = serializeConfig(config)
  const imageId = digestOf(raw)
  const present = tags.map((tag) => findByName(store, withDefaultTag(tag)))
  const first = present[0]
  if (first !== undefined && present.every((record) => record?.imageId === imageId && record.digest === first.digest))
    return { imageId, manifest: { mediaType: first.mediaType, digest: first.digest, size: first.size } }
  const descriptors = layers.map(({ diffId }) => layerDescriptor(store, diffId))
  const put = await putImage(store, { config: raw, layers: descriptors, tags, lease })
  return { imageId: put.imageId, manifest: put.target }
}

const layerMediaTypes = { none: mediaTypes.ociLayerTar, gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd }

function layerDescriptor(store: Store, diffId: Digest): Descriptor {
  const form = listLayerForms(store, diffId)[0]
  if (form === undefined) throw new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`)
  return { mediaType: layerMediaTypes[form.compression], digest: form.digest, size: form.size }
}
