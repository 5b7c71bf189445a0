import type { BaseImage } from '../../build/graph.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { storedImage } from '../../images/image.ts'
import { layoutDirectory } from '../../images/layouts/layout-directory.ts'
import { LayoutReader } from '../../images/layouts/layout-reader.ts'
import { preferredEntry } from '../../images/records/put-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { layoutAnnotations } from '../../oci/layout.ts'
import { platformOf } from '../../oci/config.ts'
import { formatPlatform, type Platform, selectPlatform } from '../../oci/platform.ts'
import type { LayoutSource } from '../build/named-context-flags.ts'

/**
 * The image of an OCI layout for a platform. Its blobs come into the store, verified, for as long as the lease or what
 * is built on them lasts; no image is recorded. `name` is what it is called. Throws CONTEXT_INVALID where the layout has
 * no such image, IMAGE_PLATFORM, and what a damaged layout fails with.
 */
export async function resolveLayoutImage(
  store: Store,
  lease: Lease,
  source: LayoutSource,
  name: string,
  platform: Platform,
): Promise<BaseImage> {
  using files = layoutDirectory(source.path)
  const reader = new LayoutReader(store, lease, files, platform)
  const { target, manifests } = await reader.readOne((entries) => chosen(entries, source))
  const descriptors = await Promise.all(
    manifests.map(async ({ descriptor }): Promise<Descriptor> => {
      if (descriptor.platform !== undefined) return descriptor
      const { value } = await storedImage(store, descriptor.digest).config()
      return { ...descriptor, platform: platformOf(value) }
    }),
  )
  const manifest = preferredEntry(descriptors, platform)
  if (manifest === undefined || selectPlatform(platform, [manifest.platform]) < 0)
    throw new CairnError('IMAGE_PLATFORM', `${source.text} is not for ${formatPlatform(platform)}`)
  const { value: config } = await storedImage(store, manifest.digest).config()
  const index = target.digest === manifest.digest ? undefined : target.digest
  return { name: `${name}@${target.digest}`, digest: manifest.digest, index, config, platform: platformOf(config) }
}

/** By digest, by tag or whole name, else the only one there is: as buildx does. */
function chosen(entries: readonly Descriptor[], { text, tag, digest }: LayoutSource): Descriptor {
  const found =
    digest !== undefined
      ? entries.find((entry) => entry.digest === digest)
      : (entries.find(({ annotations }) => annotations?.[layoutAnnotations.refName] === tag) ??
        entries.find(({ annotations }) => annotations?.[layoutAnnotations.imageName]?.endsWith(`:${tag}`) === true) ??
        (entries.length === 1 ? entries[0] : undefined))
  if (found !== undefined) return found
  const names = entries.map(({ annotations, digest: id }) => annotations?.[layoutAnnotations.refName] ?? id)
  throw new CairnError(
    'CONTEXT_INVALID',
    `oci-layout reference ${JSON.stringify(text)} could not be resolved: index.json has no such image`,
    { hint: names.length === 0 ? 'It has none at all.' : `It has ${names.join(', ')}.` },
  )
}
