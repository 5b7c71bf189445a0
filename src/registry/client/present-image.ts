import { getLayerRecord } from '../../content/layer-records.ts'
import { findSnapshot } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { isImageConfigType, pairLayers } from '../../images/image.ts'
import { parseImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type ImageIndex, parseImageDocument } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression } from '../../oci/media-types.ts'

/** Which parts of an image are wanted. */
export interface WantedParts {
  /** Entries of an index that are wanted, and which of them is the image. */
  entriesOf(index: ImageIndex): { readonly chosen: Descriptor; readonly entries: readonly Descriptor[] }
  /** Whether a manifest's layers are to be unpacked. */
  isUnpacked(manifest: Descriptor): boolean
}

/**
 * The manifest that `target` comes to where all that is wanted of it is in the store; undefined where something is to be
 * brought. It only reads: an image that did not change costs no write.
 */
export function findPresentImage(store: Store, target: Descriptor, wanted: WantedParts): Descriptor | undefined {
  return find(store, target, wanted, wanted.isUnpacked(target))
}

function find(store: Store, descriptor: Descriptor, wanted: WantedParts, isUnpacked: boolean): Descriptor | undefined {
  if (!isThere(store, descriptor)) return undefined
  const raw = store.blobs.readAll(descriptor.digest, largestDocument)
  const document = parseImageDocument(raw, descriptor.mediaType)
  if (document.type === 'manifest') return isManifestPresent(store, document.value, isUnpacked) ? descriptor : undefined
  const { chosen, entries } = wanted.entriesOf(document.value)
  let image: Descriptor | undefined = chosen
  for (const entry of entries) {
    if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) continue
    const found = find(store, entry, wanted, entry === chosen && wanted.isUnpacked(entry))
    if (found === undefined) return undefined
    if (entry === chosen) image = found
  }
  return image
}

function isManifestPresent(store: Store, manifest: Manifest, isUnpacked: boolean): boolean {
  const { config, layers } = manifest
  if (![config, ...layers].every((blob) => isThere(store, blob))) return false
  if (!isImageConfigType(config.mediaType)) return true
  const { value } = parseImageConfig(store.blobs.readAll(config.digest, largestDocument))
  return pairLayers(manifest, value)
    .filter(({ descriptor }) => layerCompression(descriptor.mediaType) !== undefined)
    .every(
      ({ descriptor, diffId }) =>
        getLayerRecord(store, descriptor.digest)?.diffId === diffId &&
        (!isUnpacked || findSnapshot(store, diffId) !== undefined),
    )
}

function isThere(store: Store, { digest, size }: Descriptor): boolean {
  return store.blobs.size(digest) === size
}
