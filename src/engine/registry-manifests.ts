import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { findByName } from '../images/resolve-image.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { ImageDocument } from '../oci/image-index.ts'
import { isIndexType } from '../oci/media-types.ts'
import { familiarString, formatReference, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts'

/** A manifest or index of a registry. */
export interface RegistryManifest {
  readonly descriptor: Descriptor
  readonly document: ImageDocument
}

/** The manifest or index that a registry has under `name`. Throws NOT_SUPPORTED: registries are not connected yet. */
export function fetchManifest(_store: Store, name: string): Promise<RegistryManifest> {
  const shown = familiarString(withDefaultTag(parseReference(name)))
  return Promise.reject(
    new CairnError('NOT_SUPPORTED', `${shown} is not in the store, and manifests of registries cannot be read yet`, {
      hint: 'Load or copy the image into the store, or name an oci:DIR, oci-archive:FILE or docker-archive:FILE.',
    }),
  )
}

/** Sends a manifest list with its images to its registry. Throws NOT_SUPPORTED: registries are not connected yet. */
export function pushManifestList(store: Store, name: string): Promise<void> {
  const reference = withDefaultTag(parseReference(name))
  const record = findByName(store, reference)
  if (record === undefined || !isIndexType(record.mediaType)) return Promise.reject(noSuchList(reference))
  const shown = familiarString(reference)
  return Promise.reject(
    new CairnError('NOT_SUPPORTED', `${shown} cannot be pushed: registries cannot be written to yet`, {
      hint: '`cairn save` or `cairn image copy` write it to a file, from which skopeo and crane push.',
    }),
  )
}

/** The error for what is no manifest list, with docker's text. */
export function noSuchList(reference: Reference): CairnError {
  return new CairnError('IMAGE_UNKNOWN', `No such manifest: ${formatReference(reference)}`)
}
