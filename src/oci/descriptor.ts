import { CairnError } from '../errors/error.ts'
import { type Digest, isDigest } from './digest.ts'
import { type Platform } from './platform.ts'

/** image-spec descriptor.md: says what a blob is, how many bytes it has and what they hash to. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly urls?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly data?: string
  readonly artifactType?: string
  readonly platform?: Platform
}

type JsonObject = Readonly<Record<string, unknown>>

/** True for a JSON object (not an array, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * `value` as a descriptor. `where` names it in the error (`layers[2]`). Throws MANIFEST_INVALID with the field at
 * fault. Unknown fields are kept.
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isJsonObject(value)) throw invalid(`${where} is not a descriptor`)
  const { mediaType, digest, size } = value
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${where}.mediaType is missing`)
  if (typeof digest !== 'string' || !isDigest(digest))
    throw invalid(`${where}.digest is not a sha256 or sha512 digest: ${JSON.stringify(digest)}`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`${where}.size is not a byte count: ${JSON.stringify(size)}`)
  if (value['annotations'] !== undefined) parseStringMap(value['annotations'], `${where}.annotations`)
  if (value['platform'] !== undefined) {
    const platform = value['platform']
    if (!isJsonObject(platform) || typeof platform['os'] !== 'string' || typeof platform['architecture'] !== 'string')
      throw invalid(`${where}.platform needs os and architecture`)
  }
  return value as unknown as Descriptor
}

/** `value` as a map of strings; null counts as empty. Throws MANIFEST_INVALID. */
export function parseStringMap(value: unknown, where: string): Readonly<Record<string, string>> {
  if (value === null) return {}
  if (!isJsonObject(value) || Object.values(value).some((item) => typeof item !== 'string'))
    throw invalid(`${where} is not a map of strings`)
  return value as Record<string, string>
}

function invalid(message: string): CairnError {
  return new CairnError('MANIFEST_INVALID', message)
}
