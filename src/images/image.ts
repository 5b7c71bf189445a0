import { CairnError } from '../errors/error.ts'
import type { Store } from '../content/store.ts'
import { type ImageConfig, parseImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { largestDocument, type ParsedDocument } from '../oci/json-document.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { type ByteSource, collect, verified } from '../streams/source.ts'

/** What a place where images live must be able to do: give an image's manifest and its blobs. */
export interface ImageCore {
  /** Manifest bytes exactly as they are kept; the manifest's digest is taken over these. */
  rawManifest(): Promise<Uint8Array> | Uint8Array
  /** Bytes of one blob as the manifest describes it. May be called again; each call starts from the first byte. */
  openBlob(blob: Descriptor): ByteSource
}

/** An image of one platform. Everything but `openBlob` is computed once, when first asked for. */
export interface Image {
  /** Digest of the manifest. */
  digest(): Promise<Digest>
  manifest(): Promise<ParsedDocument<Manifest>>
  /** Digest of the image config: the image ID. */
  id(): Promise<Digest>
  /** The image config. Fails with CONFIG_INVALID for an artifact, which has none. */
  config(): Promise<ParsedDocument<ImageConfig>>
  /** Layers, base first, each with its diff ID. Fails with MANIFEST_INVALID when the config counts others. */
  layers(): Promise<readonly ImageLayer[]>
  /** A blob of the image, its digest and size checked as the bytes go by. */
  openBlob(blob: Descriptor): ByteSource
}

export interface ImageLayer {
  readonly descriptor: Descriptor
  readonly diffId: Digest
}

/** The whole of an image from its core. */
export function completeImage(core: ImageCore): Image {
  const openBlob = (blob: Descriptor) => verified(core.openBlob(blob), blob)
  const manifest = once(async () => parseManifest(await core.rawManifest()))
  const config = once(async () => {
    const { config: descriptor } = (await manifest()).value
    if (!isImageConfigType(descriptor.mediaType))
      throw new CairnError('CONFIG_INVALID', `${descriptor.mediaType} is not an image config: this is no image`)
    return parseImageConfig(await collect(openBlob(descriptor), largestDocument, 'image config'))
  })
  return {
    openBlob,
    manifest,
    config,
    digest: once(async () => digestOf((await manifest()).raw)),
    id: async () => (await manifest()).value.config.digest,
    layers: once(async () => pairLayers((await manifest()).value, (await config()).value)),
  }
}

/** The image of the store with this manifest. Its parts fail with BLOB_UNKNOWN where a blob is missing. */
export function storedImage(store: Store, manifest: Digest): Image {
  return completeImage({
    rawManifest: () => store.blobs.readAll(manifest, largestDocument),
    openBlob: (blob) => store.blobs.open(blob.digest),
  })
}

/** True for the media types of the configs of OCI and of docker. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig
}

/** Layers with their diff IDs. Throws MANIFEST_INVALID unless there is one diff ID for each. */
export function pairLayers(manifest: Manifest, config: ImageConfig): readonly ImageLayer[] {
  const { diff_ids: diffIds } = config.rootfs
  if (diffIds.length !== manifest.layers.length)
    throw new CairnError(
      'MANIFEST_INVALID',
      `manifest has ${manifest.layers.length} layers and its image config ${diffIds.length} diff IDs`,
    )
  return manifest.layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index] as Digest }))
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => (result ??= make())
}
