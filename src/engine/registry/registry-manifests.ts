import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { findByName } from '../../images/records/resolve-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { ImageDocument } from '../../oci/image-index.ts'
import { isIndexType } from '../../oci/media-types.ts'
import {
  familiarString,
  formatReference,
  parseReference,
  pinned,
  type Reference,
  withDefaultTag,
} from '../../oci/reference.ts'
import type { PushedImage } from '../../registry/client/push.ts'
import { unreachable } from '../images/open-source.ts'
import { pushImage, type PushImageOptions } from '../images/push-image.ts'
import type { RegistryAccess } from './registry-access.ts'

/** A manifest or index of a registry. */
export interface RegistryManifest {
  readonly descriptor: Descriptor
  readonly document: ImageDocument
}

/**
 * The manifest or index that a registry has under `name`. Throws NOT_SUPPORTED without `access`, and as
 * resolveRemote() and Repository.document().
 */
export async function fetchManifest(name: string, access: RegistryAccess | undefined): Promise<RegistryManifest> {
  const reference = pinned(parseReference(name))
  if (access === undefined) throw unreachable(familiarString(reference))
  const { resolveRemote } = await import('../../registry/client/resolve.ts')
  const { registryClient } = await import('./registry-access.ts')
  const { repositories, descriptor } = await resolveRemote(registryClient(access), reference)
  return await repositories[0].document(descriptor.digest)
}

/** Sends a manifest list with its images to its registry. Throws IMAGE_UNKNOWN for what is none, and as pushImage(). */
export async function pushManifestList(store: Store, name: string, options: PushImageOptions): Promise<PushedImage> {
  const reference = withDefaultTag(parseReference(name))
  const record = findByName(store, reference)
  if (record === undefined || !isIndexType(record.mediaType)) throw noSuchList(reference)
  return await pushImage(store, reference, options)
}

/** The error for what is no manifest list, with docker's text. */
export function noSuchList(reference: Reference): CairnError {
  return new CairnError('IMAGE_UNKNOWN', `No such manifest: ${formatReference(reference)}`)
}
