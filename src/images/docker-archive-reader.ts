import { decompress } from '../compression/decompress.ts'
import type { BlobIdentity } from '../content/blobs.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { type ImageConfig, parseImageConfig, platformOf } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { largestDocument } from '../oci/json-document.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { collect } from '../streams/source.ts'
import type { ArchiveFile } from './archive-file.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { type DockerArchiveEntry, dockerManifestPath, parseDockerManifest } from './docker-archive.ts'
import { compressionOf } from './layer-stack.ts'
import { verifyLayers } from './layer-verification.ts'
import type { ImageLayer } from './image.ts'
import { parseArchiveName } from './layout-reader.ts'
import type { VerifiedImage } from './verified-image.ts'

const layerTypes = {
  none: mediaTypes.ociLayerTar,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} as const

/**
 * Reads a docker-archive: `manifest.json`, image configs and layers, wherever it says these are (`<id>/layer.tar`,
 * `<hex>.tar`, `blobs/sha256/<hex>`, links to them). Such an archive has no manifests; each image gets one.
 */
export class DockerArchiveReader {
  readonly #store: Store
  readonly #lease: Lease
  readonly #archive: ArchiveFiles
  readonly #layers = new Map<ArchiveFile, Promise<Descriptor>>()

  constructor(store: Store, lease: Lease, archive: ArchiveFiles) {
    this.#store = store
    this.#lease = lease
    this.#archive = archive
  }

  async read(): Promise<readonly VerifiedImage[]> {
    const bytes = await collect(this.#file(dockerManifestPath).read(), largestDocument, dockerManifestPath)
    const images: VerifiedImage[] = []
    for (const entry of parseDockerManifest(bytes)) images.push(await this.#image(entry))
    return images
  }

  async #image(entry: DockerArchiveEntry): Promise<VerifiedImage> {
    const raw = await collect(this.#file(entry.Config).read(), largestDocument, entry.Config)
    const imageId = digestOf(raw)
    const promised = digestInPath(entry.Config)
    if (promised !== undefined && promised !== imageId)
      throw new CairnError('BLOB_CORRUPT', `image config ${entry.Config} has the digest ${imageId}`)
    const { value: config } = parseImageConfig(raw)
    const layers = await this.#imageLayers(entry, config)
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
    const references = (entry.RepoTags ?? []).flatMap(parseArchiveName)
    return { target, imageId, manifests: [{ descriptor: target, manifest }], isIndex: false, references }
  }

  async #imageLayers(entry: DockerArchiveEntry, config: ImageConfig): Promise<Descriptor[]> {
    const { diff_ids: diffIds } = config.rootfs
    if (diffIds.length !== entry.Layers.length)
      throw new CairnError(
        'ARCHIVE_INVALID',
        `manifest.json gives ${entry.Config} ${entry.Layers.length} layers, but that has ${diffIds.length} diff IDs`,
      )
    const layers: ImageLayer[] = []
    for (const [index, path] of entry.Layers.entries()) {
      const diffId = diffIds[index] as Digest
      layers.push({ descriptor: await this.#layer(path, diffId), diffId })
    }
    await verifyLayers(this.#store, this.#lease, layers)
    return layers.map(({ descriptor }) => descriptor)
  }

  async #layer(path: string, diffId: Digest): Promise<Descriptor> {
    const file = this.#file(path)
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

  #file(path: string): ArchiveFile {
    const file = this.#archive.find(path)
    if (file === undefined)
      throw new CairnError('ARCHIVE_INVALID', `the archive lacks ${path}, which ${dockerManifestPath} names`)
    return file
  }
}

/** The digest that a path promises: `<hex>.json`, `<hex>.tar`, `blobs/sha256/<hex>`; not `<hex>/layer.tar`, whose hex is an ID. */
function digestInPath(path: string): Digest | undefined {
  const hex = /^(?:(?:.*\/)?blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1]
  const digest = `sha256:${hex}`
  return hex !== undefined && isDigest(digest) ? digest : undefined
}
