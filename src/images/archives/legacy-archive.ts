import { decompress } from '../../compression/decompress.ts'
import type { ContentLimits } from '../../content/limits.ts'
import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { type Digest, Digester } from '../../oci/digest.ts'
import { compareCodePoints, goJson, inOrder } from '../../oci/go-json.ts'
import { largestDocument, parseJsonDocument } from '../../oci/json-document.ts'
import { collect } from '../../streams/source.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { type DockerArchiveImage, memberOf } from './docker-archive.ts'

/** Names the images of an archive of docker before 1.10, which has no `manifest.json`. */
export const legacyNamesPath = 'repositories'

/** No image has more layers: docker itself had at most 127. */
const mostLayers = 500

interface LegacyLayer {
  /** Directory of `json` and `layer.tar`. */
  readonly id: string
  readonly json: Readonly<Record<string, unknown>>
}

/**
 * The images of an archive of docker before 1.10 (image-spec v1): for each layer a directory `<id>` with `layer.tar` and
 * `json`, which names its parent, and names in `repositories`. Each gets the config that docker makes of the newest
 * `json`, so it has the same ID. Throws ARCHIVE_INVALID; configs are made, and layers read for it, when asked for.
 */
export async function legacyImages(
  files: ArchiveFiles,
  limits: ContentLimits,
  name: string,
): Promise<readonly DockerArchiveImage[]> {
  const archive = new LegacyArchive(files, limits, name)
  return await archive.images()
}

class LegacyArchive {
  readonly #files: ArchiveFiles
  readonly #limits: ContentLimits
  readonly #name: string
  readonly #diffIds = new Map<string, Promise<Digest>>()

  constructor(files: ArchiveFiles, limits: ContentLimits, name: string) {
    this.#files = files
    this.#limits = limits
    this.#name = name
  }

  async images(): Promise<readonly DockerArchiveImage[]> {
    const images: DockerArchiveImage[] = []
    for (const [id, names] of await this.#namesById()) {
      const layers = await this.#layersOf(id)
      const paths = layers.map((layer) => `${layer.id}/layer.tar`)
      const config = async (): Promise<Uint8Array> => {
        const diffIds: Digest[] = []
        for (const path of paths) diffIds.push(await this.#diffId(path))
        return configOf(layers, diffIds)
      }
      images.push({ where: `${id}/json`, names, layers: paths, config })
    }
    return images
  }

  async #namesById(): Promise<ReadonlyMap<string, readonly string[]>> {
    const names = new Map<string, string[]>()
    for (const [repository, tags] of Object.entries(await this.#objectAt(legacyNamesPath))) {
      if (!isJsonObject(tags)) throw this.#invalid(`gives ${JSON.stringify(repository)} no tags in ${legacyNamesPath}`)
      for (const [tag, id] of Object.entries(tags))
        names.getOrInsert(this.#parseId(id), []).push(`${repository}:${tag}`)
    }
    if (names.size === 0) throw this.#invalid(`names no image in ${legacyNamesPath}`)
    return names
  }

  /** The layers of an image, base first. */
  async #layersOf(image: string): Promise<readonly LegacyLayer[]> {
    const layers: LegacyLayer[] = []
    for (let id: string | undefined = image; id !== undefined;) {
      if (layers.length === mostLayers) throw this.#invalid(`gives image ${image} more than ${mostLayers} layers`)
      const json = await this.#objectAt(`${id}/json`)
      layers.unshift({ id, json })
      const parent: unknown = json['parent'] ?? ''
      id = parent === '' ? undefined : this.#parseId(parent)
    }
    return layers
  }

  #diffId(path: string): Promise<Digest> {
    return this.#diffIds.getOrInsertComputed(path, async () => {
      const digester = new Digester()
      const { layerBytes: maxBytes, ratio: maxRatio } = this.#limits
      const bytes = memberOf(this.#files, path, this.#name).read()
      for await (const piece of decompress(bytes, { maxBytes, maxRatio, name: path })) digester.update(piece)
      return digester.digest()
    })
  }

  async #objectAt(path: string): Promise<Readonly<Record<string, unknown>>> {
    const name = `${this.#name}: ${path}`
    const bytes = await collect(memberOf(this.#files, path, this.#name).read(), largestDocument, name)
    return parseJsonDocument(bytes, { name, code: 'ARCHIVE_INVALID' }).value
  }

  #parseId(id: unknown): string {
    if (typeof id === 'string' && /^[0-9a-f]{64}$/.test(id)) return id
    throw this.#invalid(`has the image ID ${JSON.stringify(id)}, which is not 64 hex digits`)
  }

  #invalid(message: string): CairnError {
    return new CairnError('ARCHIVE_INVALID', `${this.#name} ${message}`)
  }
}

/** What says where a layer belongs, or how large it is, is not part of an image's config. */
const dropped: ReadonlySet<string> = new Set(['id', 'parent', 'Size', 'parent_id', 'layer_id', 'throwaway'])

/** The config docker makes: the newest layer's JSON with its keys sorted, with root file system and history. */
function configOf(layers: readonly LegacyLayer[], diffIds: readonly Digest[]): Uint8Array {
  const fields = new Map<string, unknown>()
  for (const [key, value] of Object.entries(layers.at(-1)?.json ?? {}))
    if (!dropped.has(key)) fields.set(key, asWritten(value))
  fields.set('rootfs', inOrder({ type: 'layers', diff_ids: diffIds }, ['type', 'diff_ids']))
  fields.set(
    'history',
    layers.map(({ json }) => historyOf(json)),
  )
  const sorted = new Map([...fields].toSorted(([a], [b]) => compareCodePoints(a, b)))
  return new TextEncoder().encode(goJson(sorted))
}

function historyOf(json: LegacyLayer['json']): ReadonlyMap<string, unknown> {
  const { created, author, comment, container_config: container } = json
  const command = isJsonObject(container) && Array.isArray(container['Cmd']) ? container['Cmd'].join(' ') : ''
  // Go writes a time with no more digits than it has.
  const time = typeof created === 'string' ? created.replace(/(\.\d*?)0+(?=\D*$)/, '$1').replace(/\.(?=\D)/, '') : ''
  const given = Object.entries({ created: time, created_by: command, author, comment })
  return new Map(given.filter(([, text]) => typeof text === 'string' && text !== ''))
}

/** Objects with their keys in the order in which they were written. */
function asWritten(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asWritten)
  if (!isJsonObject(value)) return value
  return new Map(Object.entries(value).map(([key, item]) => [key, asWritten(item)]))
}
