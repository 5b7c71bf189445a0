import { getCacheRecord, putCacheRecord } from '../content/cache-records.ts'
import { layerNode } from '../content/graph.ts'
import { listLayerForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { storedImage } from '../images/image.ts'
import { LayerWriter } from '../layers/pack/layer-writer.ts'
import { writeSquashed } from '../layers/pack/squash.ts'
import { type ImageConfig, serializeConfig } from '../oci/config.ts'
import { digestOf } from '../oci/digest.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { adoptLayer } from './adopt-layer.ts'
import type { BaseImage, BuildPlan } from './graph.ts'
import type { PackedLayer } from './layer.ts'

/** What a build made: the configuration of its image and all layers, the lowest first. */
export interface BuiltImage {
  readonly config: ImageConfig
  readonly layers: readonly PackedLayer[]
}

export interface SquashEnvironment {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
}

/**
 * The image with all that is new to the base image in one layer, and the history that docker's `--squash` writes: the
 * entries stay, without layers, and one more says what was merged. An image with no more than one new layer stays as it
 * is. The same layers give the same image.
 */
export async function squashImage(
  built: BuiltImage,
  plan: Pick<BuildPlan, 'target' | 'inheritedHistory' | 'epoch'>,
  environment: SquashEnvironment,
): Promise<BuiltImage> {
  const base = baseImage(plan.target)
  const kept = base?.config.rootfs.diff_ids.length ?? 0
  if (built.layers.length - kept < 2) return built
  const lower = built.layers.slice(0, kept)
  const layer = await squashedLayer(lower, built.layers.slice(kept), plan.epoch, environment)
  const layers = [...lower, layer]
  const { config } = built
  const { created } = config
  const imageId = digestOf(serializeConfig(config))
  const comment =
    base === undefined
      ? `create new from ${imageId}`
      : `merge ${imageId} to ${await storedImage(environment.store, base.digest).id()}`
  const history = (config.history ?? []).map((entry, index) =>
    index < plan.inheritedHistory ? entry : { ...entry, empty_layer: true },
  )
  return {
    layers,
    config: {
      ...config,
      history: [...history, { ...(created === undefined ? {} : { created }), comment }],
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    },
  }
}

function baseImage(target: BuildPlan['target']): BaseImage | undefined {
  let lowest = target
  while (lowest?.parent !== undefined) lowest = lowest.parent
  return lowest?.kind === 'base' ? lowest.image : undefined
}

/** The layers `upper` as one. It is kept in the cache under what it was made of, and as old as the newest of them. */
async function squashedLayer(
  lower: readonly PackedLayer[],
  upper: readonly PackedLayer[],
  epoch: number | undefined,
  { store, lease, snapshots }: SquashEnvironment,
): Promise<PackedLayer> {
  const createdAt = upper.map((layer) => layer.createdAt).reduce((a, b) => (a > b ? a : b))
  const key = `squash-${digestOf([lower, upper].map((layers) => layers.map(({ diffId }) => diffId).join(' ')).join('\n'))}`
  const known = getCacheRecord(store, key)?.result as PackedLayer | undefined
  if (known !== undefined) {
    lease.protect(layerNode(known.diffId))
    if (listLayerForms(store, known.diffId).length > 0) return { ...known, createdAt }
  }
  const path = store.session.temporaryPath('layer')
  const writer = new LayerWriter(path, { epoch })
  try {
    writeSquashed(await snapshots.layerTrees(lower), await snapshots.layerTrees(upper), writer)
    const squashed = await adoptLayer(store, lease, path, writer.finish())
    putCacheRecord(store, { key, result: squashed, inputs: {} }, [layerNode(squashed.diffId)])
    return { ...squashed, createdAt }
  } finally {
    writer.abort()
  }
}
