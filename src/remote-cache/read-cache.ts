import { CairnError } from '../errors/error.ts'
import { isImageConfigType, pairLayers } from '../images/image.ts'
import { parseImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { isAttestation } from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import type { Manifest } from '../oci/manifest.ts'
import { layerCompression } from '../oci/media-types.ts'
import {
  cacheTypes,
  type ImportedStep,
  largestCacheConfig,
  largestCacheHistory,
  type NamedHistory,
  parseCacheConfig,
  parseHistories,
} from './cache-document.ts'
import type { CacheSource } from './cache-places.ts'
import { parseInlineCache } from './inline-cache.ts'

/** Steps, and the layers that they name. */
interface CachePart {
  readonly steps: readonly ImportedStep[]
  readonly layers: readonly Descriptor[]
}

/** What a cache says; none of its layers was looked at. */
export interface CacheContent {
  readonly parts: readonly CachePart[]
  readonly histories: readonly NamedHistory[]
}

/** Images of an index that are looked at for inline caches. */
const mostImages = 32

/**
 * Reads a cache but for its layers; undefined where there is none. Throws CACHE_INVALID for what is no cache that Cairn
 * can read, and what reading throws.
 */
export async function readCache(source: CacheSource): Promise<CacheContent | undefined> {
  const root = await source.root()
  if (root === undefined) return undefined
  if (root.type === 'manifest') return await readManifest(source, root.value)
  const entries = root.value.manifests.filter((entry) => !isAttestation(entry)).slice(0, mostImages)
  const found = await Promise.all(
    entries.map(async (entry) => {
      const document = await source.document(entry)
      return document.type === 'manifest' ? await readManifest(source, document.value) : noCache
    }),
  )
  return { parts: found.flatMap(({ parts }) => parts), histories: found.flatMap(({ histories }) => histories) }
}

const noCache: CacheContent = { parts: [], histories: [] }

async function readManifest(source: CacheSource, manifest: Manifest): Promise<CacheContent> {
  const { config, layers } = manifest
  if (config.mediaType === cacheTypes.config) {
    const own = layers.filter(({ mediaType }) => layerCompression(mediaType) !== undefined)
    const [bytes, histories] = await Promise.all([
      source.read(config, largestCacheConfig),
      readHistories(
        source,
        layers.find(({ mediaType }) => mediaType === cacheTypes.history),
      ),
    ])
    return { parts: [{ steps: parseCacheConfig(bytes, own.length), layers: own }], histories }
  }
  if (isImageConfigType(config.mediaType)) {
    const { value } = parseImageConfig(await source.read(config, largestDocument))
    const inline = await parseInlineCache(value)
    if (inline === undefined) return noCache
    const descriptors = pairLayers(manifest, value).map(({ descriptor }) => descriptor)
    return { parts: [{ steps: inline.steps, layers: descriptors }], histories: inline.histories }
  }
  throw new CairnError(
    'CACHE_INVALID',
    `its config is a ${JSON.stringify(config.mediaType)}, not that of a cache or image`,
  )
}

async function readHistories(source: CacheSource, blob: Descriptor | undefined): Promise<readonly NamedHistory[]> {
  return blob === undefined ? [] : await parseHistories(await source.read(blob, largestCacheHistory.packed))
}
