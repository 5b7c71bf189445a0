import { compress, compressionKey, type BlockCompressor } from '../compression/compress.ts'
import { decompress } from '../compression/decompress.ts'
import { type LayerRecord, listLayerForms, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import { type CompressedLayer, getCompressedLayer, putCompressedLayer } from '../content/remote-blobs.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { linkManifest } from '../images/records/put-image.ts'
import { chunkedKey, chunkedLayer } from '../layers/chunked/chunked-layer.ts'
import { type ImageConfig, platformOf, serializeConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { ByteSource } from '../streams/source.ts'
import type { Annotation, ImageForm } from './output.ts'

/** An image that was built, before it is written in one form or another. */
export interface UnformedImage {
  readonly config: ImageConfig
  /** Base first. */
  readonly diffIds: readonly Digest[]
  /** How many of the layers are the base image's. */
  readonly baseLayers: number
}

/** An image in one form, with layers that are in the store. */
export interface FormedImage {
  /** Digest of the config. */
  readonly imageId: Digest
  /** The manifest, with the platform and the annotations of its entry in an index. */
  readonly target: Descriptor
  readonly manifest: Manifest
  /** Its config and its manifest, in that order. */
  readonly documents: readonly Uint8Array[]
}

export interface FormingOptions {
  readonly store: Store
  readonly lease: Lease
  /** Compresses blocks on threads; on this one if absent. */
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly signal: AbortSignal
  /** Told of each layer that is compressed. */
  readonly onCompress?: (diffId: Digest) => void
}

const types = {
  oci: {
    manifest: mediaTypes.ociManifest,
    config: mediaTypes.ociConfig,
    layer: { none: mediaTypes.ociLayerTar, gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd },
  },
  docker: {
    manifest: mediaTypes.dockerManifest,
    config: mediaTypes.dockerConfig,
    layer: { none: mediaTypes.dockerLayerTar, gzip: mediaTypes.dockerLayerGzip, zstd: mediaTypes.dockerLayerZstd },
  },
} as const

/**
 * Makes config and manifest of an image in one form, its new layers compressed as that says; what a layer became once it
 * becomes again. The same image and form give the same digests on every machine. Layers have to be protected, as layers,
 * by whoever calls. Throws BLOB_UNKNOWN where the store has not a layer, CANCELED, and what writing throws.
 */
export async function formImage(image: UnformedImage, form: ImageForm, options: FormingOptions): Promise<FormedImage> {
  const names = types[form.ociTypes ? 'oci' : 'docker']
  const layers: Descriptor[] = []
  for (const [index, diffId] of image.diffIds.entries()) {
    const isFree = index < image.baseLayers && !form.force
    const { digest, size, compression, annotations } = await layerIn(diffId, isFree ? undefined : form, options)
    const more = annotations === undefined ? {} : { annotations }
    layers.push({ mediaType: names.layer[compression], digest, size, ...more })
  }
  const raw = serializeConfig(image.config)
  const platform = platformOf(image.config)
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: names.manifest,
    config: { mediaType: names.config, digest: digestOf(raw), size: raw.length },
    layers,
    ...annotationsFor('manifest', form, platform),
  }
  const bytes = serializeManifest(manifest)
  const target: Descriptor = {
    mediaType: names.manifest,
    digest: digestOf(bytes),
    size: bytes.length,
    platform,
    ...annotationsFor('manifest-descriptor', form, platform),
  }
  return { imageId: manifest.config.digest, target, manifest, documents: [raw, bytes] }
}

/** What `carrier` is given of a form's annotations; those of other platforms are not for it. */
export function annotationsFor(
  carrier: Annotation['carrier'],
  { annotations }: ImageForm,
  platform?: Platform,
): { readonly annotations?: Readonly<Record<string, string>> } {
  const own = annotations.filter(
    (annotation) =>
      annotation.carrier === carrier &&
      (annotation.platform === undefined ||
        (platform !== undefined && formatPlatform(annotation.platform) === formatPlatform(platform))),
  )
  if (own.length === 0) return {}
  return { annotations: Object.fromEntries(own.map(({ key, value }) => [key, value])) }
}

/** Writes the documents of an image into the store, where its lease keeps them. */
export async function storeFormedImage(store: Store, lease: Lease, image: FormedImage): Promise<void> {
  for (const document of image.documents) await lease.put(document)
  store.database.transaction(() => linkManifest(store, image.target.digest, image.manifest))
}

/** A layer in one form, with what its descriptor is annotated with. */
interface FormedLayer extends Pick<LayerRecord, 'digest' | 'size' | 'compression'> {
  readonly annotations?: Readonly<Record<string, string>>
}

/** A layer as `form` wants it, made where it is not there yet; without one, as the store has it. */
async function layerIn(diffId: Digest, form: ImageForm | undefined, options: FormingOptions): Promise<FormedLayer> {
  const { store, lease } = options
  const forms = listLayerForms(store, diffId)
  const [first] = forms
  if (first === undefined) throw new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`)
  const format = form?.compression
  if (form === undefined || format === undefined) return first
  if (format === 'none')
    return forms.find(({ compression }) => compression === 'none') ?? (await unpacked(first, options))
  const settings = format === 'zstd:chunked' ? chunkedKey(form.level) : compressionKey({ format, level: form.level })
  const known = getCompressedLayer(store, diffId, settings)
  const there = forms.find(({ digest }) => digest === known?.digest && lease.claim(digest))
  if (there !== undefined)
    return known?.annotations === undefined ? there : { ...there, annotations: known.annotations }
  options.onCompress?.(diffId)
  const made = await compressed(first, format, form.level, options)
  const compression = format === 'zstd:chunked' ? 'zstd' : format
  const { digest, size } = made
  putLayerRecord(store, { diffId, digest, size, compression, unpackedSize: first.unpackedSize })
  putCompressedLayer(store, diffId, settings, made)
  return { ...made, compression }
}

async function compressed(
  layer: LayerRecord,
  format: 'gzip' | 'zstd' | 'zstd:chunked',
  level: number | undefined,
  options: FormingOptions,
): Promise<CompressedLayer> {
  const { compressor, concurrency } = options
  const settings = { level, compressor, concurrency }
  const content = contentOf(layer, options)
  if (format !== 'zstd:chunked') return await ingest(compress(content, { format, ...settings }), options)
  let annotations: CompressedLayer['annotations']
  const pieces = chunkedLayer(content, settings)
  const blob = await ingest(
    (async function* () {
      annotations = yield* pieces
    })(),
    options,
  )
  return annotations === undefined ? blob : { ...blob, annotations }
}

async function unpacked(
  layer: LayerRecord,
  options: FormingOptions,
): Promise<Pick<LayerRecord, 'digest' | 'size' | 'compression'>> {
  const { diffId } = layer
  const blob = await ingest(contentOf(layer, options), options, { digest: diffId, size: layer.unpackedSize })
  putLayerRecord(options.store, { diffId, ...blob, compression: 'none', unpackedSize: blob.size })
  return { ...blob, compression: 'none' }
}

/** The uncompressed tar. */
function contentOf({ digest, compression }: LayerRecord, { store }: FormingOptions): ByteSource {
  const blob = store.blobs.open(digest)
  return compression === 'none' ? blob : decompress(blob)
}

async function ingest(
  bytes: ByteSource,
  { lease, signal }: FormingOptions,
  expected?: { readonly digest: Digest; readonly size: number },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const writer = lease.ingest(expected)
  try {
    for await (const piece of bytes) {
      signal.throwIfAborted()
      writer.write(piece)
    }
    return await writer.commit()
  } finally {
    writer.abort()
  }
}
