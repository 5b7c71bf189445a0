import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { formatImageLocation, type ImageLocation } from '../../images/image-location.ts'
import { type ImageSource, openImageSource } from '../../images/image-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/** The error for a place in a registry where nothing says how to reach that. */
export function unreachable(location: string): CairnError {
  return new CairnError('NOT_SUPPORTED', `${location}: registries are not reached from here`, {
    hint: 'Pull the image, and give its name.',
  })
}

/**
 * Opens the image at a place, also one in a registry where `access` is given; `isRead` says that all of it will be read.
 * Throws as openImageSource() and openRegistrySource().
 */
export async function openSource(
  store: Store,
  location: ImageLocation,
  access: RegistryAccess | undefined,
  isRead = false,
): Promise<ImageSource> {
  if (location.transport !== 'docker') return await openImageSource(store, location)
  if (access === undefined) throw unreachable(formatImageLocation(location))
  const { openRegistrySource } = await import('../../registry/client/registry-source.ts')
  const { registryClient } = await import('../registry/registry-access.ts')
  return await openRegistrySource(store, registryClient(access), location.reference, { isRead })
}
