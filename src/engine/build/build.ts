import { type BuildContext, BuildContexts } from '../../build/context/context.ts'
import { BuildExecutor } from '../../build/executor.ts'
import type { Op } from '../../build/graph.ts'
import { stackOf } from '../../build/needed-ops.ts'
import type { PlanOptions } from '../../build/plan/plan-options.ts'
import { RemoteFiles } from '../../build/context/remote-files.ts'
import type { RunSettings } from '../../build/ops/run.ts'
import type { FailedCommand } from '../../build/running-step.ts'
import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import type { ImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Platform } from '../../oci/platform.ts'
import type { Reference } from '../../oci/reference.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { ExplainedStep } from '../../records/record.ts'
import { DeviceRegistry } from '../../runtime/cdi.ts'
import type { SourceLock } from '../../remote/source-lock.ts'
import { reapAbandoned } from '../../runtime/state.ts'
import type { BuildAttestations } from './attest-build.ts'
import type { ExportOptions } from './export-build.ts'
import { exportSolved } from './export-solved.ts'
import type { BuildCaches, CacheRequest } from './build-caches.ts'
import { type SolvedPlans, type SolveEnvironment, solvePlans } from './solve-plans.ts'
import type { PullBase } from './base-images.ts'
import { planPlatforms } from './plan-platforms.ts'
import type { NamedSource } from './named-context-flags.ts'
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
  const startedAt = new Date()
  using contexts = new BuildContexts(options.context)
  const devices = options.run.devices ?? new DeviceRegistry()
  let running = (): AbortSignal => options.signal
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
  const plans = await planPlatforms(options, { store, lease, contexts, access, devices })
  using caches = await importing
  const remotes = new RemoteFiles(access, options.progress)
  const ops = plans.flatMap((plan) => plan.ops)
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
          dockerfile: options.dockerfile.filename,
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
    await options.onSolved?.(solved, ops, lease)
    await contexts.save()
    const result = await exportSolved(solved, { store, lease, options, plans, caches, startedAt })
    if (caches !== undefined) {
      // What a history has of a large context takes long to read.
      const histories = plans.flatMap((_, index) => solved.histories(index))
      await caches.finish({ ops, resultOps, steps: solved.steps, facts: solved.facts, histories })
    }
    return result
  } finally {
    await caches?.settle()
  }
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
