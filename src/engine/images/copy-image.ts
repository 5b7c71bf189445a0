import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { copyImage as copy, type CopyOptions, type ImageCopy } from '../../images/copy-image.ts'
import { formatImageLocation, type ImageLocation, parseImageLocation } from '../../images/image-location.ts'
import { type ImageTarget, openImageTarget } from '../../images/image-target.ts'
import { openSource, unreachable } from './open-source.ts'
import { type RegistryAccess, registryClient } from '../registry/registry-access.ts'

/**
 * Copies the image at `from` to `to`, both as users write them: names of the store, `oci:`, `oci-archive:`,
 * `docker-archive:`, `dir:`, `docker://`. Between registries only what the target lacks is moved, and what stays is not
 * read. Throws as parseImageLocation, openSource, openImageTarget, copyImage and copyRemote.
 */
export async function copyImage(
  store: Store,
  from: string,
  to: string,
  options: CopyOptions & { readonly access?: RegistryAccess } = {},
): Promise<ImageCopy> {
  const [source, target] = [parseImageLocation(from), parseImageLocation(to)]
  recover(store)
  if (source.transport === 'docker' && target.transport === 'docker') {
    const { copyRemote } = await import('../registry/copy-remote.ts')
    const { access, platform, withReferrers = false } = options
    if (access === undefined) throw unreachable(from)
    return await copyRemote(store, source.reference, target.reference, { access, platform, withReferrers })
  }
  return await withLease(store, async (lease) => {
    using reader = await openSource(store, source, options.access, true)
    using writer = await openTarget(store, lease, target, options.access)
    return await copy(store, reader, writer, options)
  })
}

async function openTarget(
  store: Store,
  lease: Lease,
  location: ImageLocation,
  access: RegistryAccess | undefined,
): Promise<ImageTarget> {
  if (location.transport !== 'docker') return await openImageTarget(store, lease, location)
  if (access === undefined) throw unreachable(formatImageLocation(location))
  const { openRegistryTarget } = await import('../../registry/client/registry-target.ts')
  return openRegistryTarget(store, registryClient(access), location.reference)
}
