import { getLayerRecord, type LayerRecord, preferredForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { linkManifest } from '../images/records/put-image.ts'
import { type ImageConfig, platformOf, serializeConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import { type FormedLayer, type FormingOptions, formLayer } from './formed-layer.ts'
import type { Annotation, ImageForm } from './output.ts'

/** An image that was built, before it is written in one form or another. */
export interface UnformedImage {
  readonly config: ImageConfig
  /** Base first. */
  readonly diffIds: readonly Digest[]
  /** The lowest of the layers as the base image has them: whatever else the store has of them does not count. */
  readonly baseLayers: readonly Digest[]
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
  const formed: FormedLayer[] = []
  const stored = preferredForms(options.store, image.diffIds)
  for (const [index, diffId] of image.diffIds.entries()) {
    const base = form.force ? undefined : image.baseLayers[index]
    const isFree = base !== undefined
    const own = base === undefined ? undefined : presentForm(options.store, base, diffId)
    const asIs = own ?? (isFree || form.compression === undefined ? stored.get(diffId) : undefined)
    formed.push(asIs ?? (await formLayer(diffId, isFree ? undefined : form, options)))
  }
  const layers = formed.map(({ digest, size, compression, annotations }): Descriptor => {
    const more = annotations === undefined ? {} : { annotations }
    return { mediaType: names.layer[compression], digest, size, ...more }
  })
  const rootfs = { ...image.config.rootfs, diff_ids: formed.map(({ diffId }) => diffId) }
  const raw = serializeConfig({ ...image.config, rootfs })
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

/** The blob as a form of the layer, where the store has it. */
function presentForm(store: Store, digest: Digest, diffId: Digest): LayerRecord | undefined {
  const record = getLayerRecord(store, digest)
  return record?.diffId === diffId && store.blobs.size(digest) === record.size ? record : undefined
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
