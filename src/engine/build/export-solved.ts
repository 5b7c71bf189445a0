import type { BuildPlan, Op } from '../../build/graph.ts'
import { opsBehind, stackOf } from '../../build/needed-ops.ts'
import type { PlannedBuild } from '../../build/plan/plan.ts'
import { resultConfig } from '../../build/result-image.ts'
import type { BuiltImage, SquashEnvironment } from '../../build/squash.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { storedImage } from '../../images/image.ts'
import { serializeConfig } from '../../oci/config.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { FormedImage, UnformedImage } from '../../outputs/form-image.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { AttestedBuild, BuildAttestations } from './attest-build.ts'
import type { BuildOptions, BuildResult } from './build.ts'
import type { BuildCaches } from './build-caches.ts'
import { exportBuild, type ExportOptions } from './export-build.ts'
import { isIndexWanted } from './index-wanted.ts'
import type { SolvedPlans } from './solve-plans.ts'

/** A build whose steps are done. */
export interface SolvedBuild {
  readonly store: Store
  readonly lease: Lease
  readonly options: BuildOptions
  readonly plans: readonly PlannedBuild[]
  readonly caches: BuildCaches | undefined
  readonly startedAt: Date
}

/** Makes the images of a build, and what is attested of them, and writes them to its outputs. Throws as exportBuild(). */
export async function exportSolved(solved: SolvedPlans, build: SolvedBuild): Promise<BuildResult> {
  const { store, lease, options, plans, startedAt } = build
  const images = await resultImages(solved, build)
  const isIndexForced = isIndexWanted(plans.length, options.buildArgs)
  const exporting = { ...options, store, lease, snapshots: solved.snapshots, epoch: plans[0]?.epoch, isIndexForced }
  const attested =
    options.attestations && (await attestedBy(options.attestations, { options, plans, images, startedAt }, solved))
  const exported = await exportBuild(images, { ...exporting, attestations: attested?.exported })
  const provenance = await attested?.told(exported?.images)
  const { config } = images[0] as UnformedImage
  const imageId = exported?.imageId ?? digestOf(serializeConfig(config))
  const configs = images.map((image) => image.config)
  const { target: manifest, names = [] } = exported ?? {}
  return { imageId, manifest, names, config, configs, provenance, ...solved.counts }
}

/** The images of all platforms, with what caches elsewhere want in their configurations. */
async function resultImages(
  solved: SolvedPlans,
  { store, lease, options, plans, caches }: SolvedBuild,
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
