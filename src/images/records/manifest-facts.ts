import { getManifestRecord, type ManifestRecord, putManifestRecord } from '../../content/manifest-records.ts'
import type { Store } from '../../content/store.ts'
import { parseImageConfig, platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseImageDocument } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { type Manifest, parseManifest } from '../../oci/manifest.ts'
import { isManifestType } from '../../oci/media-types.ts'
import { isImageConfigType } from '../image.ts'
import { contentSize, unpackedSize } from '../size.ts'

/**
 * Records what lists tell of a manifest, whose blobs are all in the store and their layers verified. Throws
 * CONFIG_INVALID for a config that cannot be read.
 */
export function recordManifestFacts(store: Store, digest: Digest, manifest: Manifest): void {
  if (getManifestRecord(store, digest) !== undefined) return
  const { config, layers } = manifest
  const held = {
    digest,
    contentSize: contentSize(store, [digest, config.digest, ...layers.map((layer) => layer.digest)]),
  }
  if (!isImageConfigType(config.mediaType)) {
    const facts = { imageId: digest, platform: undefined, created: undefined, labels: {}, unpackedSize: 0 }
    return putManifestRecord(store, { ...held, ...facts }, [])
  }
  const { value } = parseImageConfig(store.blobs.readAll(config.digest, largestDocument))
  const diffIds = value.rootfs.diff_ids
  const facts: ManifestRecord = {
    ...held,
    imageId: config.digest,
    platform: platformOf(value),
    created: value.created,
    labels: value.config?.Labels ?? {},
    unpackedSize: unpackedSize(store, diffIds),
  }
  putManifestRecord(store, facts, diffIds)
}

/**
 * Makes up for facts that were not recorded when the image was, as earlier versions left it: of the manifest or of what
 * the store holds of the index. Throws BLOB_UNKNOWN, MANIFEST_INVALID, CONFIG_INVALID for an image that is damaged.
 */
export function recordMissingFacts(store: Store, target: Descriptor): void {
  for (const digest of heldManifests(store, target))
    recordManifestFacts(store, digest, parseManifest(store.blobs.readAll(digest, largestDocument)).value)
}

function heldManifests(store: Store, target: Descriptor): readonly Digest[] {
  if (isManifestType(target.mediaType)) return [target.digest]
  const document = parseImageDocument(store.blobs.readAll(target.digest, largestDocument), target.mediaType)
  if (document.type !== 'index') return []
  return document.value.manifests
    .filter(({ digest, mediaType }) => isManifestType(mediaType) && store.blobs.has(digest))
    .map(({ digest }) => digest)
}
