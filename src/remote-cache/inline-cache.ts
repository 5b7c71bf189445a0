import type { CachedStep } from '../build/cache.ts'
import { CairnError } from '../errors/error.ts'
import type { ImageConfig } from '../oci/config.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import {
  cacheConfig,
  type ImportedStep,
  type NamedHistory,
  parseCacheConfig,
  parseHistories,
  serializeHistories,
} from './cache-document.ts'
import { buildkitInlineField } from './buildkit-cache.ts'
import { type ExportedRecord, inlineRecords } from './buildkit-records.ts'

/** The field of an image config that has an inline cache. */
const field = 'cairn.cache.v1'

/** Largest history that an image carries, in bytes; a longer one goes without its lists of files. */
const largestHistory = 64 * 1024

/** A cache whose layers are those of the image that it is in. */
export interface InlineCache {
  readonly steps: readonly ImportedStep[]
  readonly histories: readonly NamedHistory[]
}

/** What goes into the config of an image. */
interface InlineParts {
  readonly steps: readonly CachedStep[]
  readonly histories: readonly NamedHistory[]
  /** BuildKit's of the same steps; none where it is not to read the cache. */
  readonly records: readonly ExportedRecord[]
}

/**
 * The config of an image with a cache of those of `steps` whose layers the image has. Those are dated as its history
 * dates them, so that the cache makes no image another one than it would be at another time.
 */
export function withInlineCache(config: ImageConfig, { steps, histories, records }: InlineParts): ImageConfig {
  const whole = serializeHistories(histories)
  const bare = histories.map((history) => ({ ...history, files: {} }))
  const history = whole.length <= largestHistory ? whole : serializeHistories(bare)
  const { diff_ids: diffIds } = config.rootfs
  const entries = (config.history ?? []).filter((entry) => entry.empty_layer !== true)
  const dates = new Map(diffIds.map((diffId, index) => [diffId, entries[index]?.created]))
  const dated = steps.map((step) => {
    const { layer } = step.result
    const createdAt = dates.get(layer.diffId) ?? layer.createdAt
    return { ...step, result: { ...step.result, layer: { ...layer, createdAt } } }
  })
  const datedRecords = records.map((record) => {
    const topmost = record.layers?.at(-1)
    return { ...record, createdAt: (topmost === undefined ? undefined : dates.get(topmost)) ?? record.createdAt }
  })
  return Object.assign({}, config, {
    ...(records.length === 0 ? {} : { [buildkitInlineField]: inlineRecords(datedRecords, diffIds) }),
    [field]: { ...cacheConfig(dated, diffIds), history: history.toBase64() },
  })
}

/** The cache in an image's config, undefined where it has none. Throws CACHE_INVALID, and as parseHistories(). */
export async function parseInlineCache(config: ImageConfig): Promise<InlineCache | undefined> {
  const value = (config as unknown as Readonly<Record<string, unknown>>)[field]
  if (value === undefined) return undefined
  if (!isJsonObject(value)) throw new CairnError('CACHE_INVALID', `${field} of the image config is not an object`)
  const { history } = value
  if (typeof history !== 'string') throw new CairnError('CACHE_INVALID', `${field}.history is not text`)
  const diffIds = config.rootfs.diff_ids
  const steps = parseCacheConfig(JSON.stringify(value), diffIds.length)
  for (const { result, layerIndex } of steps)
    if (result.layer.diffId !== diffIds[layerIndex])
      throw new CairnError('CACHE_INVALID', `${field} names ${result.layer.diffId}, no layer of the image`)
  return { steps, histories: await parseHistories(Buffer.from(history, 'base64')) }
}
