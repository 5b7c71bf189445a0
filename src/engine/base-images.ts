import type { BaseImage } from '../build/graph.ts'
import { blobNode } from '../content/graph.ts'
import type { ImageRecord } from '../content/image-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { storedImage } from '../images/image.ts'
import { findByName, platformManifest } from '../images/resolve-image.ts'
import { formatPlatform, type Platform, selectPlatform } from '../oci/platform.ts'
import { familiarString, formatReference, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts'
import type { ProgressListener } from '../progress/events.ts'
import { shown } from './shown-work.ts'

/**
 * The image a FROM names, from the store, protected by `lease`. Its look-up is shown as BuildKit shows it, or as
 * `title`. Throws REFERENCE_INVALID, IMAGE_UNKNOWN, IMAGE_PLATFORM.
 */
export async function resolveBaseImage(
  store: Store,
  lease: Lease,
  text: string,
  platform: Platform,
  progress: ProgressListener,
  title?: string,
): Promise<BaseImage> {
  const reference = withDefaultTag(parseReference(text))
  const name = formatReference(reference)
  const id = `metadata ${name} ${formatPlatform(platform)}`
  const work = { id, name: title ?? `[internal] load metadata for ${name}`, status: 'resolving' }
  return await shown(progress, work, () => baseImage(store, lease, reference, name, platform))
}

async function baseImage(
  store: Store,
  lease: Lease,
  reference: Reference,
  name: string,
  platform: Platform,
): Promise<BaseImage> {
  const record = findProtected(store, lease, reference)
  if (record === undefined)
    throw new CairnError(
      'IMAGE_UNKNOWN',
      `${familiarString(reference)}: failed to resolve source metadata for ${name}: ${name}: not found`,
      {
        hint: 'It is not in the store, and this version cannot pull. Bring it with cairn load, cairn import or cairn bootstrap.',
      },
    )
  const manifest = await platformManifest(store, record, undefined, name)
  const { value: config } = await storedImage(store, manifest.digest).config()
  const found: Platform = {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  }
  if (selectPlatform(platform, [found]) < 0)
    throw new CairnError('IMAGE_PLATFORM', `${name} is for ${formatPlatform(found)}, not ${formatPlatform(platform)}`)
  return { name, digest: manifest.digest, config, platform: found }
}

/** The image of this name, which then stays as long as the lease even if the name is taken from it. */
function findProtected(store: Store, lease: Lease, reference: Reference): ImageRecord | undefined {
  let record = findByName(store, reference)
  while (record !== undefined) {
    lease.protect(blobNode(record.digest))
    const found = findByName(store, reference)
    if (found?.digest === record.digest) break
    record = found
  }
  return record
}
