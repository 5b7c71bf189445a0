import { decompress } from '../../compression/decompress.ts'
import type { BlobIdentity } from '../../content/blobs.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { type ImageConfig, parseImageConfig, platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { type Manifest, serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { Platform } from '../../oci/platform.ts'
import type { ArchiveFile } from './archive-file.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { type DockerArchiveImage, memberOf } from './docker-archive.ts'
import { checkLayerCount, dockerArchiveImages } from './docker-archive-images.ts'
import { compressionOf } from '../layer-stack.ts'
import { verifyLayers } from '../layer-verification.ts'
import type { ImageLayer } from '../image.ts'
import { absentPlatform, parseArchiveName } from '../layouts/layout-reader.ts'
import { suitsPlatform } from '../records/resolve-image.ts'
import type { VerifiedImage } from '../verified-image.ts'

const layerTypes = {
  none: mediaTypes.ociLayerTar,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} as const

/**
 * Reads a docker-archive of any age: image configs and layers, wherever it says these are (`<id>/layer.tar`, `<hex>.tar`,
 * `blobs/sha256/<hex>`, links to them). Such an archive has no manifests; each image gets one.
 */
export class DockerArchiveReader {
  readonly #store: Store
  readonly #lease: Lease
  readonly #archive: ArchiveFiles
  readonly #name: string
  readonly #layers = new Map<ArchiveFile, Promise<Descriptor>>()

  /** `name` is the archive in errors. */
  constructor(store: Store, lease: Lease, archive: ArchiveFiles, name: string) {
    this.#name = name
    this.#store = store
    this.#lease = lease
    this.#archive = archive
  }

  /** All images, or those of one platform. Throws IMAGE_PLATFORM where there is none of it. */
  async read(platform?: Platform): Promise<readonly VerifiedImage[]> {
    const images: VerifiedImage[] = []
    for (const image of await dockerArchiveImages(this.#archive, this.#store.limits, this.#name))
      images.push(...(await this.#image(image, platform)))
    if (images.length === 0 && platform !== undefined) throw absentPlatform(platform)
    return images
  }

  async #image(image: DockerArchiveImage, wanted: Platform | undefined): Promise<VerifiedImage[]> {
    const raw = await image.config()
    const imageId = digestOf(raw)
    const promised = digestInPath(image.where)
    if (promised !== undefined && promised !== imageId)
      throw new CairnError('BLOB_CORRUPT', `image config ${image.where} has the digest ${imageId}`)
    const { value: config } = parseImageConfig(raw)
    if (wanted !== undefined && !suitsPlatform(wanted, platformOf(config))) return []
    const layers = await this.#imageLayers(image, config)
    await this.#lease.put(raw)
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: imageId, size: raw.length },
      layers,
    }
    const bytes = serializeManifest(manifest)
    const blob = await this.#lease.put(bytes)
    const target = { mediaType: mediaTypes.ociManifest, ...blob, platform: platformOf(config) }
    const references = image.names.flatMap(parseArchiveName)
    return [{ target, imageId, manifests: [{ descriptor: target, manifest }], isIndex: false, references }]
  }

  async #imageLayers(image: DockerArchiveImage, config: ImageConfig): Promise<Descriptor[]> {
    const { diff_ids: diffIds } = config.rootfs
    checkLayerCount(image, diffIds, this.#name)
    const layers: ImageLayer[] = []
    for (const [index, path] of image.layers.entries()) {
      const diffId = diffIds[index] as Digest
      layers.push({ descriptor: await this.#layer(path, diffId), diffId })
    }
    await verifyLayers(this.#store, this.#lease, layers)
    return layers.map(({ descriptor }) => descriptor)
  }

  async #layer(path: string, diffId: Digest): Promise<Descriptor> {
    const file = memberOf(this.#archive, path, this.#name)
    const known = this.#layers.get(file)
    if (known !== undefined) return await known
    const layer = this.#storeLayer(file, path, diffId)
    this.#layers.set(file, layer)
    return await layer
  }

  async #storeLayer(file: ArchiveFile, path: string, diffId: Digest): Promise<Descriptor> {
    const compression = await compressionOf(file.read())
    if (compression === 'bzip2' || compression === 'xz')
      return { mediaType: layerTypes.none, ...(await this.#storeUnpacked(file, path, diffId)) }
    // What is not compressed must be the layer itself; it need not be read if the store has it.
    const digest = compression === 'none' ? diffId : digestInPath(path)
    const blob = await file.store(this.#lease, digest === undefined ? {} : { digest, size: file.size })
    return { mediaType: layerTypes[compression], ...blob }
  }

  /** An image's layers cannot be in bzip2 or xz, so such a one is stored unpacked. */
  async #storeUnpacked(file: ArchiveFile, path: string, diffId: Digest): Promise<BlobIdentity> {
    const ingest = this.#lease.ingest({ digest: diffId })
    try {
      const { layerBytes: maxBytes, ratio: maxRatio } = this.#store.limits
      for await (const bytes of decompress(file.read(), { maxBytes, maxRatio, name: path })) ingest.write(bytes)
      return await ingest.commit()
    } finally {
      ingest.abort()
    }
  }
}

/** The digest that a path promises: `<hex>.json`, `<hex>.tar`, `blobs/sha256/<hex>`; not `<hex>/layer.tar`, whose hex is an ID. */
function digestInPath(path: string): Digest | undefined {
  const hex = /^(?:(?:.*\/)?blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1]
  const digest = `sha256:${hex}`
  return hex !== undefined && isDigest(digest) ? digest : undefined
}
