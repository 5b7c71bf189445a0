import { CairnError } from '../errors/error.ts'
import { isImageConfigType, pairLayers } from '../images/image.ts'
import { parseImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type ImageDocument, isAttestation } from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import type { Manifest } from '../oci/manifest.ts'
import { layerCompression } from '../oci/media-types.ts'
import { buildkitConfigType, type BuildkitRecord, parseBuildkitConfig, parseBuildkitInline } from './buildkit-cache.ts'
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
import { mountType } from './travelling-mount.ts'

/** Steps, and the layers that they name. */
interface CachePart {
  readonly steps: readonly ImportedStep[]
  readonly layers: readonly Descriptor[]
}

/** What a cache says; none of its layers was looked at. */
export interface CacheContent {
  readonly parts: readonly CachePart[]
  /** Records of BuildKit's, of one or several of its caches. */
  readonly buildkit: readonly (readonly BuildkitRecord[])[]
  readonly histories: readonly NamedHistory[]
  /** Blobs with the files of cache mounts. */
  readonly mounts: readonly Descriptor[]
}

/** Images of an index that are looked at for inline caches. */
const mostImages = 32

/**
 * Reads a cache but for its layers; undefined where there is none. Throws CACHE_INVALID for what is no cache that Cairn
 * can read, and what reading throws.
 */
export async function readCache(source: CacheSource): Promise<CacheContent | undefined> {
  const roots = await source.roots()
  if (roots.length === 0) return undefined
  return joined(await Promise.all(roots.map((root) => readRoot(source, root))))
}

async function readRoot(source: CacheSource, root: ImageDocument): Promise<CacheContent> {
  if (root.type === 'manifest') return await readManifest(source, root.value)
  const { manifests } = root.value
  const config = manifests.find(({ mediaType }) => mediaType === buildkitConfigType)
  // What BuildKit writes with image-manifest=false: an index of blobs.
  if (config !== undefined) return await readBuildkit(source, config, manifests)
  const entries = manifests.filter((entry) => !isAttestation(entry)).slice(0, mostImages)
  const found = await Promise.all(
    entries.map(async (entry) => {
      const document = await source.document(entry)
      return document.type === 'manifest' ? await readManifest(source, document.value) : noCache
    }),
  )
  return { ...joined(found), mounts: [] }
}

function joined(found: readonly CacheContent[]): CacheContent {
  return {
    parts: found.flatMap(({ parts }) => parts),
    buildkit: found.flatMap(({ buildkit }) => buildkit),
    histories: found.flatMap(({ histories }) => histories),
    mounts: found.flatMap(({ mounts }) => mounts),
  }
}

async function readBuildkit(
  source: CacheSource,
  config: Descriptor,
  blobs: readonly Descriptor[],
): Promise<CacheContent> {
  return { ...noCache, buildkit: [parseBuildkitConfig(await source.read(config, largestCacheConfig), blobs)] }
}

const noCache: CacheContent = { parts: [], buildkit: [], histories: [], mounts: [] }

async function readManifest(source: CacheSource, manifest: Manifest): Promise<CacheContent> {
  const { config, layers } = manifest
  const steps = layers.find(({ mediaType }) => mediaType === cacheTypes.config)
  if (steps !== undefined) {
    const own = layers.filter(({ mediaType }) => layerCompression(mediaType) !== undefined)
    const [bytes, histories] = await Promise.all([
      source.read(steps, largestCacheConfig),
      readHistories(
        source,
        layers.find(({ mediaType }) => mediaType === cacheTypes.history),
      ),
    ])
    const mounts = layers.filter(({ mediaType }) => mediaType === mountType)
    return { ...noCache, parts: [{ steps: parseCacheConfig(bytes, own.length), layers: own }], histories, mounts }
  }
  if (config.mediaType === buildkitConfigType) return await readBuildkit(source, config, layers)
  if (isImageConfigType(config.mediaType)) {
    const { value } = parseImageConfig(await source.read(config, largestDocument))
    const stack = pairLayers(manifest, value)
    const fields = value as unknown as Readonly<Record<string, unknown>>
    const [inline, records] = [await parseInlineCache(value), parseBuildkitInline(fields, stack)]
    const parts = inline === undefined ? [] : [{ steps: inline.steps, layers: stack.map((layer) => layer.descriptor) }]
    return { ...noCache, parts, buildkit: records === undefined ? [] : [records], histories: inline?.histories ?? [] }
  }
  throw new CairnError(
    'CACHE_INVALID',
    `its config is a ${JSON.stringify(config.mediaType)}, not that of a cache or image`,
  )
}

async function readHistories(source: CacheSource, blob: Descriptor | undefined): Promise<readonly NamedHistory[]> {
  return blob === undefined ? [] : await parseHistories(await source.read(blob, largestCacheHistory.packed))
}
