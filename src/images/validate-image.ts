import type { Store } from '../content/store.ts'
import type { ErrorCode } from '../errors/codes.ts'
import { CairnError } from '../errors/error.ts'
import { checkDemands, type LayerScan, stackTree } from '../layers/trees/layer-tree.ts'
import type { ImageConfig } from '../oci/config.ts'
import { platformOf } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { isAttestation } from '../oci/image-index.ts'
import type { Manifest } from '../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression } from '../oci/media-types.ts'
import { formatPlatform, normalizePlatform } from '../oci/platform.ts'
import { hasFullHistory } from './edit-layers.ts'
import { isImageConfigType, pairLayers } from './image.ts'
import { imageOf, type ImageSource, openBlob, readDocument } from './image-source.ts'
import { scanLayer } from './layer-stack.ts'

/** Something of an image that is not as it must be. */
export interface ImageProblem {
  /** The platform it concerns; empty for the whole image. */
  readonly platform: string
  readonly part: 'index' | 'manifest' | 'config' | 'layer' | 'blob'
  readonly digest: Digest
  readonly code: ErrorCode
  readonly message: string
}

/** What was looked at, and what is wrong with it. */
export interface ImageValidation {
  readonly name: string
  readonly target: Descriptor
  readonly platforms: readonly string[]
  readonly manifests: number
  readonly layers: number
  /** Of all blobs that were read. */
  readonly bytes: number
  readonly problems: readonly ImageProblem[]
}

/** Indexes within indexes are followed this deep. */
const deepestIndex = 4

/**
 * Looks at all there is of an image, every platform and attestation, and tells all that is wrong with it: blobs that are
 * missing or not what their digest, size or media type says; documents against the specification; diff IDs and history
 * against the layers; layers that are no whole tars or lead out of the image. Every byte is read. Throws only where the
 * place itself cannot be read any more.
 */
export async function validateImage(store: Store, source: ImageSource): Promise<ImageValidation> {
  const validator = new ImageValidator(store, source)
  await validator.document(source.target, '', 0)
  const { platforms, manifests, layers, bytes, problems } = validator
  return { name: source.name, target: source.target, platforms, manifests, layers, bytes, problems }
}

class ImageValidator {
  readonly problems: ImageProblem[] = []
  readonly platforms: string[] = []
  manifests = 0
  layers = 0
  bytes = 0
  readonly #store: Store
  readonly #source: ImageSource
  readonly #seen = new Set<string>()
  readonly #scans = new Map<string, LayerScan | undefined>()

  constructor(store: Store, source: ImageSource) {
    this.#store = store
    this.#source = source
  }

  async document(descriptor: Descriptor, platform: string, depth: number): Promise<void> {
    if (this.#seen.has(descriptor.digest)) return
    this.#seen.add(descriptor.digest)
    const isIndex = isIndexType(descriptor.mediaType)
    if (!isIndex && !isManifestType(descriptor.mediaType)) return await this.#plainBlob(descriptor, platform)
    const part = isIndex ? 'index' : 'manifest'
    if (!this.#isThere(descriptor, part, platform)) return
    if (depth > deepestIndex)
      return this.#add(
        part,
        descriptor,
        platform,
        'MANIFEST_INVALID',
        `indexes are nested more than ${deepestIndex} deep`,
      )
    await this.#attempt(part, descriptor, platform, async () => {
      const document = await readDocument(this.#source, descriptor)
      this.bytes += descriptor.size
      if (document.type === 'manifest') return await this.#manifest(descriptor, document.value, platform)
      for (const entry of document.value.manifests)
        await this.document(entry, entry.platform === undefined ? '' : formatPlatform(entry.platform), depth + 1)
    })
  }

  async #manifest(descriptor: Descriptor, manifest: Manifest, platform: string): Promise<void> {
    this.manifests++
    if (!isImageConfigType(manifest.config.mediaType)) {
      for (const blob of [manifest.config, ...manifest.layers]) await this.#plainBlob(blob, platform)
      return
    }
    const config = await this.#config(descriptor, manifest, platform)
    const shown = platform !== '' || config === undefined ? platform : formatPlatform(platformOf(config))
    if (!isAttestation(descriptor) && shown !== '') this.platforms.push(shown)
    await this.#layers(manifest, config, shown)
  }

  async #config(descriptor: Descriptor, manifest: Manifest, platform: string): Promise<ImageConfig | undefined> {
    const { config: blob } = manifest
    if (!this.#isThere(blob, 'config', platform)) return undefined
    const config = await this.#attempt('config', blob, platform, async () => {
      return (await imageOf(this.#source, descriptor).config()).value
    })
    if (config === undefined) return undefined
    this.bytes += blob.size
    const { rootfs, history } = config
    const { layers } = manifest
    if (rootfs.diff_ids.length !== layers.length)
      this.#add(
        'config',
        blob,
        platform,
        'MANIFEST_INVALID',
        `it has ${rootfs.diff_ids.length} diff IDs for ${layers.length} layers`,
      )
    else if (history !== undefined && !hasFullHistory({ config, layers: pairLayers(manifest, config) }))
      this.#add('config', blob, platform, 'CONFIG_INVALID', `its history does not tell of its ${layers.length} layers`)
    const own = formatPlatform(normalizePlatform(platformOf(config)))
    const said = descriptor.platform === undefined ? own : formatPlatform(normalizePlatform(descriptor.platform))
    if (own !== said)
      this.#add('config', blob, platform, 'CONFIG_INVALID', `it is for ${own}, but the index says ${said}`)
    return config
  }

  async #layers(manifest: Manifest, config: ImageConfig | undefined, platform: string): Promise<void> {
    const diffIds = config?.rootfs.diff_ids ?? []
    const scans: (LayerScan | undefined)[] = []
    for (const [index, layer] of manifest.layers.entries()) {
      const compression = layerCompression(layer.mediaType)
      const diffId = diffIds.length === manifest.layers.length ? diffIds[index] : undefined
      const isForeign = (layer.urls?.length ?? 0) > 0 && this.#source.size(layer.digest) === undefined
      if (isForeign) scans.push(undefined)
      else if (compression === undefined || diffId === undefined) {
        scans.push(undefined)
        await this.#plainBlob(layer, platform)
      } else scans.push(await this.#layer(layer, diffId, compression, platform))
    }
    this.#checkStack(manifest, scans, platform)
  }

  async #layer(
    layer: Descriptor,
    diffId: Digest,
    compression: string,
    platform: string,
  ): Promise<LayerScan | undefined> {
    const key = `${layer.digest} ${diffId}`
    if (this.#scans.has(key)) return this.#scans.get(key)
    this.layers++
    const scan = this.#isThere(layer, 'layer', platform)
      ? await this.#attempt('layer', layer, platform, async () => {
          const open = () => openBlob(this.#source, layer)
          const scanned = await scanLayer({ descriptor: layer, diffId }, open, this.#store.limits)
          this.bytes += layer.size
          const { compression: found } = scanned.record
          if (found !== compression)
            this.#add(
              'layer',
              layer,
              platform,
              'MANIFEST_INVALID',
              `${layer.mediaType} is said, but its compression is ${found}`,
            )
          return scanned.scan
        })
      : undefined
    this.#scans.set(key, scan)
    return scan
  }

  #checkStack(manifest: Manifest, scans: readonly (LayerScan | undefined)[], platform: string): void {
    for (const [index, scan] of scans.entries()) {
      const layer = manifest.layers[index]
      const below = scans.slice(0, index)
      // What cannot be read says nothing of those above.
      if (layer === undefined || scan === undefined || below.includes(undefined)) continue
      try {
        const trees = below.flatMap((one) => (one === undefined ? [] : [one.tree]))
        checkDemands(`layer ${layer.digest}`, scan.demands, stackTree(trees))
      } catch (error) {
        this.#addError('layer', layer, platform, error)
      }
    }
  }

  async #plainBlob(descriptor: Descriptor, platform: string): Promise<void> {
    if (this.#seen.has(`blob ${descriptor.digest}`)) return
    this.#seen.add(`blob ${descriptor.digest}`)
    if (!this.#isThere(descriptor, 'blob', platform)) return
    await this.#attempt('blob', descriptor, platform, async () => {
      for await (const bytes of openBlob(this.#source, descriptor)) this.bytes += bytes.length
    })
  }

  #isThere(descriptor: Descriptor, part: ImageProblem['part'], platform: string): boolean {
    const { digest, size } = descriptor
    const found = this.#source.size(digest)
    if (found === undefined) this.#add(part, descriptor, platform, 'BLOB_UNKNOWN', 'it is missing')
    else if (found !== size)
      this.#add(part, descriptor, platform, 'BLOB_CORRUPT', `it has ${found} bytes, but its descriptor says ${size}`)
    return found === size
  }

  async #attempt<Result>(
    part: ImageProblem['part'],
    descriptor: Descriptor,
    platform: string,
    read: () => Promise<Result>,
  ): Promise<Result | undefined> {
    try {
      return await read()
    } catch (error) {
      this.#addError(part, descriptor, platform, error)
      return undefined
    }
  }

  #addError(part: ImageProblem['part'], descriptor: Descriptor, platform: string, error: unknown): void {
    if (!(error instanceof CairnError)) throw error
    // The part is told beside the message.
    const message = error.message
      .replace(`${part} ${descriptor.digest}, `, '')
      .replace(`${part} ${descriptor.digest} `, 'it ')
    this.#add(part, descriptor, platform, error.code, message)
  }

  #add(part: ImageProblem['part'], { digest }: Descriptor, platform: string, code: ErrorCode, message: string): void {
    this.problems.push({ platform, part, digest, code, message })
  }
}
