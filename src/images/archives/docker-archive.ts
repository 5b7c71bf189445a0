import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { goJson, inOrder } from '../../oci/go-json.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { ArchiveFile } from './archive-file.ts'
import type { ArchiveFiles } from './archive-files.ts'

/** Name of the list of images in a docker-archive. */
export const dockerManifestPath = 'manifest.json'

/** One image of a docker-archive: paths within it. */
export interface DockerArchiveEntry {
  readonly Config: string
  /** Names as docker prints them; null for none. */
  readonly RepoTags: readonly string[] | null
  /** Base first. */
  readonly Layers: readonly string[]
}

/** An image of a docker-archive of any age. */
export interface DockerArchiveImage {
  /** The file that describes it, for errors. */
  readonly where: string
  /** As docker prints them. */
  readonly names: readonly string[]
  /** Paths of the layers, base first. */
  readonly layers: readonly string[]
  /** The bytes of its config. */
  config(): Promise<Uint8Array>
}

/** A file that the archive says it has. Throws ARCHIVE_INVALID. */
export function memberOf(files: ArchiveFiles, path: string, name: string): ArchiveFile {
  const file = files.find(path)
  if (file !== undefined) return file
  throw new CairnError('ARCHIVE_INVALID', `${name} lacks ${path}, which it names`)
}

/** Reads `manifest.json`. Throws ARCHIVE_INVALID naming the field. */
export function parseDockerManifest(bytes: Uint8Array): readonly DockerArchiveEntry[] {
  if (bytes.length > largestDocument)
    throw invalid(`has ${bytes.length} bytes, more than the ${largestDocument} accepted`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalid('is not JSON', cause)
  }
  if (!Array.isArray(value) || value.length === 0) throw invalid('lists no images')
  return value.map((entry, index) => parseEntry(entry, `[${index}]`))
}

/** The bytes of a `manifest.json`. */
export function serializeDockerManifest(entries: readonly DockerArchiveEntry[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(goJson(entries.map((entry) => inOrder(entry, ['Config', 'RepoTags', 'Layers']))))
}

function parseEntry(value: unknown, where: string): DockerArchiveEntry {
  if (!isJsonObject(value)) throw invalid(`${where} is not an object`)
  const { Config: config, RepoTags: repoTags = null, Layers: layers } = value
  if (typeof config !== 'string' || config === '') throw invalid(`${where}.Config is missing`)
  if (repoTags !== null && !isTexts(repoTags)) throw invalid(`${where}.RepoTags is not a list of names`)
  // docker writes null for an image without layers.
  if (layers !== null && !isTexts(layers)) throw invalid(`${where}.Layers is not a list of paths`)
  return { Config: config, RepoTags: repoTags, Layers: layers ?? [] }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function invalid(message: string, cause?: unknown): CairnError {
  return new CairnError('ARCHIVE_INVALID', `${dockerManifestPath} ${message}`, { cause })
}
