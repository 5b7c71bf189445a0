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

/** The field of an image config that has an inline cache. */
const field = 'cairn.cache.v1'

/** Largest history that an image carries, in bytes; a longer one goes without its lists of files. */
const largestHistory = 64 * 1024

/** A cache whose layers are those of the image that it is in. */
export interface InlineCache {
  readonly steps: readonly ImportedStep[]
  readonly histories: readonly NamedHistory[]
}

/** The config of an image with a cache of those of `steps` whose layers the image has. */
export function withInlineCache(
  config: ImageConfig,
  steps: readonly CachedStep[],
  histories: readonly NamedHistory[],
): ImageConfig {
  const whole = serializeHistories(histories)
  const bare = histories.map((history) => ({ ...history, files: {} }))
  const history = whole.length <= largestHistory ? whole : serializeHistories(bare)
  return Object.assign({}, config, {
    [field]: { ...cacheConfig(steps, config.rootfs.diff_ids), history: history.toBase64() },
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
