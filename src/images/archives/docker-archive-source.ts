import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { parseImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, Digester, digestOf } from '../../oci/digest.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { formatReference, parseReference, withDefaultTag } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { type ArchiveFiles, openArchive } from './archive-files.ts'
import { type DockerArchiveImage, memberOf } from './docker-archive.ts'
import { checkLayerCount, dockerArchiveImages } from './docker-archive-images.ts'
import type { FileLocation } from '../image-location.ts'
import { type ImageSource, missingBlob } from '../image-source.ts'
import { parseArchiveName } from '../layouts/layout-reader.ts'
import { compressionOf } from '../layer-stack.ts'

interface Blob {
  readonly size: number
  read(): ByteSource
}

const layerTypes = {
  none: mediaTypes.ociLayerTar,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} as const

/**
 * Opens an image of a docker-archive. Such an archive has no manifests: the image gets one, over its layers as they
 * are. Throws NOT_SUPPORTED for layers in bzip2 or xz, which `load` converts.
 */
export async function openDockerArchiveSource(
  store: Store,
  location: FileLocation,
  name: string,
): Promise<ImageSource> {
  const files = await openArchive(store, location.path)
  try {
    const image = choose(await dockerArchiveImages(files, store.limits, name), location, name)
    const raw = await image.config()
    const blobs = new Map<Digest, Blob>()
    const config = addBytes(blobs, raw)
    const layers = await addLayers(blobs, files, image, parseImageConfig(raw).value.rootfs.diff_ids, name)
    const manifest = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, ...config },
      layers,
    })
    return {
      name,
      target: { mediaType: mediaTypes.ociManifest, ...addBytes(blobs, manifest) },
      references: image.names.flatMap(parseArchiveName),
      size: (digest) => blobs.get(digest)?.size,
      open: ({ digest }) => {
        const blob = blobs.get(digest)
        if (blob === undefined) throw missingBlob(name, digest)
        return blob.read()
      },
      examined: () => undefined,
      [Symbol.dispose]: () => files[Symbol.dispose](),
    }
  } catch (error) {
    files[Symbol.dispose]()
    throw error
  }
}

function addBytes(blobs: Map<Digest, Blob>, bytes: Uint8Array): { readonly digest: Digest; readonly size: number } {
  const digest = digestOf(bytes)
  blobs.set(digest, {
    size: bytes.length,
    async *read() {
      yield bytes
    },
  })
  return { digest, size: bytes.length }
}

async function addLayers(
  blobs: Map<Digest, Blob>,
  files: ArchiveFiles,
  image: DockerArchiveImage,
  diffIds: readonly Digest[],
  name: string,
): Promise<Descriptor[]> {
  checkLayerCount(image, diffIds, name)
  const layers: Descriptor[] = []
  for (const [index, path] of image.layers.entries()) {
    const file = memberOf(files, path, name)
    const compression = await compressionOf(file.read())
    if (compression === 'bzip2' || compression === 'xz')
      throw new CairnError(
        'NOT_SUPPORTED',
        `${name}: ${path} is compressed with ${compression}, which no image may be`,
        {
          hint: 'cairn load reads such an archive.',
        },
      )
    const diffId = diffIds[index] as Digest
    // What is not compressed must be the layer itself: that is verified when it is read.
    const digest = compression === 'none' ? diffId : await digestOfSource(file.read())
    blobs.set(digest, file)
    layers.push({ mediaType: layerTypes[compression], digest, size: file.size })
  }
  return layers
}

async function digestOfSource(source: ByteSource): Promise<Digest> {
  const digester = new Digester()
  for await (const bytes of source) digester.update(bytes)
  return digester.digest()
}

function choose(images: readonly DockerArchiveImage[], location: FileLocation, name: string): DockerArchiveImage {
  const { name: wanted } = location
  const found = wanted === undefined ? images : images.filter(({ names }) => names.some((tag) => isSame(tag, wanted)))
  const [only] = found
  const listed = images.flatMap(({ names, where }) => (names.length > 0 ? names : [where])).join(', ')
  if (only === undefined)
    throw new CairnError('IMAGE_UNKNOWN', `${name}: there is no such image`, { hint: `It has ${listed}.` })
  if (new Set(found.map(({ where }) => where)).size === 1) return only
  throw new CairnError('IMAGE_AMBIGUOUS', `${name} has ${found.length} images`, {
    hint: `Name one of them after the path: ${listed}.`,
  })
}

function isSame(tag: string, wanted: string): boolean {
  try {
    return (
      formatReference(withDefaultTag(parseReference(tag))) === formatReference(withDefaultTag(parseReference(wanted)))
    )
  } catch {
    return false
  }
}
