import type { History, ImageConfig } from '../oci/config.ts'
import { formatEpoch } from './epoch.ts'
import type { BuildPlan } from './graph.ts'
import type { PackedLayer } from './layer.ts'

/**
 * The configuration of the image a build made: diff IDs, and the times of history entries as BuildKit sets them
 * (exporter/containerimage): a layer's entry has the time the layer was first made, an entry without a layer that of
 * the next layer, else of the one before; entries of the base image keep theirs. `now` is used where there is no layer to
 * take a time from. With a fixed time all that is new has that; else, with an epoch, new times are at most that.
 */
export function resultConfig(plan: BuildPlan, layers: readonly PackedLayer[], now: Date): ImageConfig {
  const { config, inheritedHistory, epoch, fixedTime } = plan
  const fixed = fixedTime === undefined ? undefined : formatEpoch(fixedTime)
  const made = fixed === undefined ? layers : layers.map((layer) => ({ ...layer, createdAt: fixed }))
  const history = datedHistory(config.history ?? [], inheritedHistory, made, fixed ?? now.toISOString())
  const limit = epoch === undefined ? undefined : formatEpoch(epoch)
  const clamped = history.map((entry, index) =>
    index < inheritedHistory || limit === undefined ? entry : atMost(entry, limit),
  )
  const created =
    clamped.findLast((entry) => entry.created !== undefined)?.created ?? limit ?? fixed ?? now.toISOString()
  return {
    ...config,
    created,
    history: clamped,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  }
}

function datedHistory(
  history: readonly History[],
  inherited: number,
  layers: readonly PackedLayer[],
  now: string,
): History[] {
  const times: (string | undefined)[] = []
  let layer = 0
  for (const [index, entry] of history.entries()) {
    const made = entry.empty_layer === true ? undefined : layers[layer++]?.createdAt
    times.push(entry.created ?? (index < inherited ? undefined : made))
  }
  // New entries before the first new layer take that layer's time; without one, that of the entry before them.
  let current: string | undefined =
    times.slice(inherited).find((time) => time !== undefined) ??
    (times.length > inherited ? times.findLast((time) => time !== undefined) : undefined)
  return history.map((entry, index) => {
    const known = times[index]
    if (known !== undefined && index >= inherited) current = known
    if (index < inherited) return entry
    const { created: _created, ...rest } = entry
    return { created: known ?? current ?? now, ...rest }
  })
}

function atMost(entry: History, limit: string): History {
  return entry.created === undefined || Date.parse(entry.created) > Date.parse(limit)
    ? { ...entry, created: limit }
    : entry
}
