import type { StoredFiles, StoredHistory } from '../build/explain/build-history.ts'
import { type CachedStep, contentIdOf, emptyContentId } from '../build/cache.ts'
import type { StepTrace } from '../build/explain/explain.ts'
import { decompress } from '../compression/decompress.ts'
import { IgnoreMatcher } from '../dockerfile/ignore.ts'
import { CairnError } from '../errors/error.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { parseJsonDocument } from '../oci/json-document.ts'
import { type ByteSource, collect } from '../streams/source.ts'

/** Media types of Cairn's caches. The layers of a cache have those of image layers. */
export const cacheTypes = {
  /** artifactType of the manifest. */
  artifact: 'application/vnd.cairn.cache.v1',
  config: 'application/vnd.cairn.cache.config.v1+json',
  /** Traces of the steps, to explain misses with: JSON, compressed with zstd. */
  history: 'application/vnd.cairn.cache.history.v1+json+zstd',
} as const

/** Largest config that is read, in bytes: some 30,000 steps. */
export const largestCacheConfig = 16 * 1024 * 1024
/** Largest history that is read, in bytes, before and after decompression. */
export const largestCacheHistory = { packed: 16 * 1024 * 1024, unpacked: 64 * 1024 * 1024 } as const

/** A layer of a cache, as its records name it. */
export interface CacheLayer {
  readonly diffId: Digest
  readonly contentDigest: Digest
  /** Bytes of the uncompressed tar. */
  readonly size: number
  /** RFC 3339. */
  readonly createdAt: string
}

/** What a step of a cache gave. */
interface CacheRecord {
  readonly keys: readonly string[]
  readonly definition: string
  /** Index in `layers`. */
  readonly layer: number
  /** Content identity of the filesystem that the step stood on. */
  readonly parent: string
}

/** The config of a cache: `layers` are in the order of the manifest's, or, in an image, of its own. */
export interface CacheConfig {
  readonly version: 1
  readonly layers: readonly (CacheLayer | null)[]
  readonly records: readonly CacheRecord[]
}

/** The steps of one build of a Dockerfile for one platform. */
export interface NamedHistory extends StoredHistory {
  readonly dockerfile: string
  readonly platform: string
}

/** A step of a cache, its layer being one of the manifest's. */
export interface ImportedStep extends CachedStep {
  readonly layerIndex: number
}

/**
 * The config of a cache with `steps`, whose layers are those of `order`; a step whose layer is not among them is left
 * out. The same steps give the same bytes.
 */
export function cacheConfig(steps: readonly CachedStep[], order: readonly Digest[]): CacheConfig {
  const layers: (CacheLayer | null)[] = order.map(() => null)
  const indexes = new Map(order.map((diffId, index) => [diffId, index]))
  const records = new Map<string, CacheRecord>()
  for (const { keys, definition, result } of steps) {
    const { diffId, contentDigest, size, createdAt } = result.layer
    const layer = indexes.get(diffId)
    if (layer === undefined || result.contentId !== contentIdOf(result.parentContentId, contentDigest)) continue
    layers[layer] ??= { diffId, contentDigest, size, createdAt }
    const record = { keys: keys.toSorted(), definition, layer, parent: result.parentContentId }
    records.set(record.keys.join(), record)
  }
  return { version: 1, layers, records: [...records.values()] }
}

/** The bytes of a config. */
export function serializeCacheConfig(config: CacheConfig): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(config))
}

/**
 * Reads the config of a cache with `layerCount` layers. Content identities are computed, not read, so a record can claim
 * none but that of the layer it names. Throws CACHE_INVALID naming the field.
 */
export function parseCacheConfig(input: Uint8Array | string, layerCount: number): readonly ImportedStep[] {
  const { value } = parseJsonDocument(input, { name: 'cache config', code: 'CACHE_INVALID' }, largestCacheConfig)
  if (value['version'] !== 1) throw invalid(`version ${JSON.stringify(value['version']) ?? 'missing'} is not 1`)
  const layers = listOf(value['layers'], 'layers').map((item, index) =>
    item === null ? undefined : parseLayer(item, `layers[${index}]`),
  )
  if (layers.length > layerCount) throw invalid(`${layers.length} layers, but the manifest has ${layerCount}`)
  return listOf(value['records'], 'records').map((item, index) => parseRecord(item, `records[${index}]`, layers))
}

function parseLayer(value: unknown, where: string): CacheLayer {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { diffId, contentDigest, size, createdAt } = value
  if (typeof diffId !== 'string' || !isDigest(diffId)) throw invalid(`${where}.diffId is not a digest`)
  if (typeof contentDigest !== 'string' || !isDigest(contentDigest))
    throw invalid(`${where}.contentDigest is not a digest`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`${where}.size is not a byte count`)
  if (typeof createdAt !== 'string' || !isTime(createdAt)) throw invalid(`${where}.createdAt is not a time`)
  return { diffId, contentDigest, size, createdAt }
}

function parseRecord(value: unknown, where: string, layers: readonly (CacheLayer | undefined)[]): ImportedStep {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { keys, definition, layer, parent } = value
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > mostKeys || !keys.every(isKey))
    throw invalid(`${where}.keys are not cache keys`)
  if (typeof definition !== 'string' || !/^(?:definition-[0-9a-f]{64})?$/.test(definition))
    throw invalid(`${where}.definition is not one`)
  if (typeof parent !== 'string' || !(parent === emptyContentId || isKey(parent) || isDigest(parent)))
    throw invalid(`${where}.parent is not a content identity`)
  const named = typeof layer === 'number' ? layers[layer] : undefined
  if (named === undefined) throw invalid(`${where}.layer is not one of the layers`)
  const contentId = contentIdOf(parent, named.contentDigest)
  return {
    keys,
    definition,
    layerIndex: layer as number,
    result: { layer: named, contentId, parentContentId: parent },
  }
}

/** Keys that one result may have. */
const mostKeys = 64

function isKey(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/** True for an RFC 3339 time in UTC. */
export function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text) && !Number.isNaN(Date.parse(text))
}

/** The bytes of histories: the same ones give the same bytes. */
export function serializeHistories(histories: readonly NamedHistory[]): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify({ version: 1, histories })
  return new Uint8Array(Bun.zstdCompressSync(text))
}

/**
 * Reads histories, which nothing but explanations is made of. Characters that a terminal would obey are replaced. Throws
 * CACHE_INVALID, COMPRESSION_INVALID, LIMIT_EXCEEDED.
 */
export async function parseHistories(packed: Uint8Array): Promise<readonly NamedHistory[]> {
  const kind = { name: 'cache history', code: 'CACHE_INVALID' } as const
  const { unpacked: maxBytes } = largestCacheHistory
  const unpacked = decompress(once(packed), { maxBytes, name: kind.name })
  const text = new TextDecoder().decode(await collect(unpacked, maxBytes, kind.name))
  const harmless = text.replaceAll(obeyed, '\\ufffd')
  const { value } = parseJsonDocument(harmless, kind, 2 * largestCacheHistory.unpacked)
  return listOf(value['histories'], 'histories').map((item, index) => parseHistory(item, `histories[${index}]`))
}

// oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
async function* once(bytes: Uint8Array): ByteSource {
  yield bytes
}

/** Control characters of a JSON text but tabs and ends of lines, as they are or escaped. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const obeyed = /\\u00(?:0[0-8bcef]|1[0-9a-f]|7f|[89][0-9a-f])|[\u007f-\u009f]/gi

function parseHistory(value: unknown, where: string): NamedHistory {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { dockerfile, platform, steps, files } = value
  if (typeof dockerfile !== 'string' || typeof platform !== 'string') throw invalid(`${where} has no name`)
  return {
    dockerfile,
    platform,
    steps: listOf(steps, `${where}.steps`).map((step, index) => parseTrace(step, `${where}.steps[${index}]`)),
    files: parseFiles(files, `${where}.files`),
  }
}

function parseTrace(value: unknown, where: string): StepTrace {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { stage, ordinal, text, key, inputs, contents, image, written, variables, values, ignored } = value
  if (typeof stage !== 'string' || typeof text !== 'string' || !isKey(key)) throw invalid(`${where} is not a step`)
  if (typeof ordinal !== 'number' || !Number.isSafeInteger(ordinal)) throw invalid(`${where}.ordinal is not a number`)
  if (!Array.isArray(contents) || !contents.every((item) => item === null || typeof item === 'string'))
    throw invalid(`${where}.contents is not a list of digests`)
  if (image !== undefined && typeof image !== 'string') throw invalid(`${where}.image is not text`)
  if (written !== undefined && typeof written !== 'string') throw invalid(`${where}.written is not text`)
  if (variables !== undefined && !isTextMap(variables)) throw invalid(`${where}.variables is not text by name`)
  if (values !== undefined && !isTextMap(values)) throw invalid(`${where}.values is not text by name`)
  if (ignored !== undefined && !isPatternList(ignored)) throw invalid(`${where}.ignored is not a list of patterns`)
  checkInputs(inputs, `${where}.inputs`)
  return {
    stage,
    ordinal,
    text,
    key,
    inputs,
    contents,
    ...(image === undefined ? {} : { image }),
    ...(written === undefined ? {} : { written }),
    ...(variables === undefined ? {} : { variables }),
    ...(values === undefined ? {} : { values }),
    ...(ignored === undefined ? {} : { ignored }),
  }
}

function isPatternList(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) return false
  try {
    return new IgnoreMatcher(value).patterns === value
  } catch {
    return false
  }
}

function checkInputs(value: unknown, where: string): asserts value is StepTrace['inputs'] {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { kind, platform, parent, definition, env, sources, epoch } = value
  if (kind !== 'base' && kind !== 'run' && kind !== 'copy' && kind !== 'workdir')
    throw invalid(`${where}.kind is unknown`)
  if (typeof platform !== 'string') throw invalid(`${where}.platform is not text`)
  if (parent !== undefined && typeof parent !== 'string') throw invalid(`${where}.parent is not text`)
  if (epoch !== undefined && typeof epoch !== 'number') throw invalid(`${where}.epoch is not a number`)
  if (!isTextMap(definition) || (env !== undefined && !isTextMap(env)))
    throw invalid(`${where} has fields that are no text`)
  if (sources === undefined) return
  for (const source of listOf(sources, `${where}.sources`))
    if (!isJsonObject(source) || typeof source['label'] !== 'string' || typeof source['digest'] !== 'string')
      throw invalid(`${where}.sources has what is no source`)
}

function parseFiles(value: unknown, where: string): StoredFiles {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  for (const [name, list] of Object.entries(value))
    for (const item of listOf(list, `${where}[${JSON.stringify(name)}]`))
      if (!Array.isArray(item) || item.length !== 2 || typeof item[0] !== 'string' || typeof item[1] !== 'string')
        throw invalid(`${where}[${JSON.stringify(name)}] is no list of files`)
  return value as StoredFiles
}

function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return isJsonObject(value) && Object.values(value).every((item) => typeof item === 'string')
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${where} is not a list`)
  return value
}

function invalid(message: string): CairnError {
  return new CairnError('CACHE_INVALID', `cache config: ${message}`)
}
