import { CairnError } from '../errors/error.ts'
import { type Descriptor, isJsonObject } from '../oci/descriptor.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { parseJsonDocument } from '../oci/json-document.ts'
import { layerCompression } from '../oci/media-types.ts'
import { isTime, largestCacheConfig } from './cache-document.ts'

/** Media type of the config of BuildKit's caches (cache/remotecache/v1). */
export const buildkitConfigType = 'application/vnd.buildkit.cacheconfig.v0'

/** The field of an image config that has BuildKit's inline cache: base64 of the records. */
export const buildkitInlineField = 'moby.buildkit.cache.v0'

/** A layer of one of BuildKit's caches. */
export interface BuildkitLayer {
  readonly diffId: Digest
  readonly descriptor: Descriptor
}

/** What BuildKit knows a step by: its own digest, and for each input the records that it may be. */
export interface BuildkitRecord {
  readonly digest: string
  readonly inputs: readonly (readonly BuildkitLink[])[]
  /** Filesystems that the step gave, as their layers from the lowest up. */
  readonly results: readonly BuildkitResult[]
}

interface BuildkitLink {
  readonly selector: string
  /** Index of a record. */
  readonly link: number
}

interface BuildkitResult {
  readonly layers: readonly BuildkitLayer[]
  /** RFC 3339. */
  readonly createdAt: string
}

/** Layers that one filesystem may have: overlayfs stacks no more. */
const mostLayers = 500

/** Reads a config of BuildKit's; `blobs` are the layers of its manifest. Throws CACHE_INVALID. */
export function parseBuildkitConfig(input: Uint8Array, blobs: readonly Descriptor[]): readonly BuildkitRecord[] {
  const { value } = parseJsonDocument(input, { name: 'cache config', code: 'CACHE_INVALID' }, largestCacheConfig)
  const layers = listOf(value['layers'] ?? [], 'layers').map((layer, index): KnownLayer | undefined => {
    if (!isJsonObject(layer)) throw invalid(`layers[${index}] is not an object`)
    const { blob, parent = 0 } = layer
    const descriptor = blobs.find(({ digest }) => digest === blob)
    const diffId = descriptor?.annotations?.['containerd.io/uncompressed']
    if (typeof parent !== 'number') throw invalid(`layers[${index}].parent is not a number`)
    // What Cairn cannot unpack it need not know.
    if (descriptor === undefined || layerCompression(descriptor.mediaType) === undefined) return undefined
    if (diffId === undefined || !isDigest(diffId)) return undefined
    return { layer: { diffId, descriptor }, parent }
  })
  return parseRecords(value['records'] ?? [], layers)
}

/** Reads the inline cache of an image's config, undefined where it has none. Throws CACHE_INVALID. */
export function parseBuildkitInline(
  config: Readonly<Record<string, unknown>>,
  layers: readonly BuildkitLayer[],
): readonly BuildkitRecord[] | undefined {
  const text = config[buildkitInlineField]
  if (text === undefined) return undefined
  if (typeof text !== 'string') throw invalid(`${buildkitInlineField} is not text`)
  let records: unknown
  try {
    records = JSON.parse(Buffer.from(text, 'base64').toString())
  } catch (cause) {
    throw new CairnError('CACHE_INVALID', `${buildkitInlineField} of the image config is not JSON`, { cause })
  }
  const known = layers.map((layer, index) => ({ layer, parent: index - 1 }))
  return parseRecords(records, known)
}

interface KnownLayer {
  readonly layer: BuildkitLayer
  /** Index of the layer below, negative where there is none. */
  readonly parent: number
}

function parseRecords(value: unknown, layers: readonly (KnownLayer | undefined)[]): readonly BuildkitRecord[] {
  const records = listOf(value, 'records')
  return records.map((record, index): BuildkitRecord => {
    const where = `records[${index}]`
    if (!isJsonObject(record)) throw invalid(`${where} is not an object`)
    const { digest, inputs = [] } = record
    if (typeof digest !== 'string') throw invalid(`${where}.digest is not text`)
    return {
      digest,
      inputs: listOf(inputs, `${where}.inputs`).map((links) =>
        listOf(links, `${where}.inputs`).map((link) => parseLink(link, `${where}.inputs`, records.length)),
      ),
      results: [
        ...listOf(record['layers'] ?? [], `${where}.layers`).flatMap((result) => stackedResult(result, layers)),
        ...listOf(record['chains'] ?? [], `${where}.chains`).flatMap((result) => chainedResult(result, layers)),
      ],
    }
  })
}

function parseLink(value: unknown, where: string, count: number): BuildkitLink {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { selector = '', link } = value
  if (typeof selector !== 'string') throw invalid(`${where}.selector is not text`)
  if (typeof link !== 'number' || !Number.isInteger(link) || link < 0 || link >= count)
    throw invalid(`${where}.link is not one of the records`)
  return { selector, link }
}

/** A result by its topmost layer; none where a layer is unknown or its stack goes in a circle. */
function stackedResult(value: unknown, layers: readonly (KnownLayer | undefined)[]): BuildkitResult[] {
  if (!isJsonObject(value)) return []
  const stack: BuildkitLayer[] = []
  for (let index = Number(value['layer']); index >= 0;) {
    const known = layers[index]
    if (known === undefined || stack.length >= mostLayers) return []
    stack.unshift(known.layer)
    index = known.parent
  }
  return resultOf(stack, value['createdAt'])
}

function chainedResult(value: unknown, layers: readonly (KnownLayer | undefined)[]): BuildkitResult[] {
  if (!isJsonObject(value) || !Array.isArray(value['layers'])) return []
  const stack = value['layers'].flatMap((index) => layers[Number(index)]?.layer ?? [])
  return stack.length === value['layers'].length ? resultOf(stack, value['createdAt']) : []
}

function resultOf(layers: readonly BuildkitLayer[], createdAt: unknown): BuildkitResult[] {
  const isUsable = layers.length > 0 && typeof createdAt === 'string' && isTime(createdAt)
  return isUsable ? [{ layers, createdAt }] : []
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${where} is not a list`)
  return value
}

function invalid(message: string): CairnError {
  return new CairnError('CACHE_INVALID', `cache of BuildKit: ${message}`)
}
