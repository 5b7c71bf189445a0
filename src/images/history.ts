import { layerArrival } from '../content/layer-records.ts'
import type { Store } from '../content/store.ts'
import type { History, ImageConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import { shownTime } from './fixed-time.ts'
import { unpackedSize } from './size.ts'

/** One step of an image's making. */
export interface HistoryRow {
  /** The image ID for the newest row; the steps before have no image of their own. */
  readonly imageId: Digest | undefined
  /** RFC 3339, from the config, or when the layer or the image came here, see {@link shownTime}. */
  readonly created: string | undefined
  readonly createdBy: string
  readonly comment: string
  /** Bytes of the layer's uncompressed tar; 0 for a step that made none. */
  readonly size: number
  /** Of the layer, for a step that made one. */
  readonly diffId: Digest | undefined
}

/**
 * The rows of `docker history`, newest first. Layers that the config's history does not tell of (or all, where it
 * has none) get rows of their own, on top. `arrivedAt` is when the image was recorded, in milliseconds since 1970.
 */
export function imageHistory(store: Store, imageId: Digest, config: ImageConfig, arrivedAt: number): HistoryRow[] {
  const diffIds = config.rootfs.diff_ids
  let layer = 0
  // An entry without a layer is as old as the layer before it.
  let made = diffIds[0] === undefined ? arrivedAt : (layerArrival(store, diffIds[0]) ?? arrivedAt)
  const told = (config.history ?? []).map((entry) => {
    const diffId = entry.empty_layer === true ? undefined : diffIds[layer++]
    if (diffId !== undefined) made = layerArrival(store, diffId) ?? made
    return row(store, { ...entry, ...shownCreated(entry, made) }, diffId)
  })
  const untold = diffIds.slice(layer).map((diffId) => row(store, {}, diffId))
  const rows = [...told, ...untold].toReversed()
  return rows.map((item, index) => (index === 0 ? { ...item, imageId } : item))
}

function shownCreated({ created }: History, arrivedAt: number): Pick<History, 'created'> {
  const shown = shownTime(created, arrivedAt)
  return shown === undefined ? {} : { created: shown }
}

function row(store: Store, entry: History, diffId: Digest | undefined): HistoryRow {
  return {
    imageId: undefined,
    created: entry.created,
    createdBy: entry.created_by ?? '',
    comment: entry.comment ?? '',
    size: diffId === undefined ? 0 : unpackedSize(store, [diffId]),
    diffId,
  }
}
