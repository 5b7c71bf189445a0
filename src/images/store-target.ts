import { putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { isIndexType } from '../oci/media-types.ts'
import { parseReference, type Reference } from '../oci/reference.ts'
import type { CopiedImage, ImageTarget } from './image-target.ts'
import { recordReferrer } from './referrers.ts'
import { linkManifest, recordIndex, recordManifest } from './records/put-image.ts'

/** The store as a place for an image under `name`, which it gets when all of it is there. */
export function openStoreTarget(store: Store, lease: Lease, name: string): ImageTarget {
  const reference = parseReference(name)
  if (reference.digest !== undefined)
    throw new CairnError('REFERENCE_INVALID', `${name}: an image cannot be given a digest as its name`)
  return storeTarget(store, lease, [reference])
}

/** As {@link openStoreTarget}; without names the image is only brought in, for as long as `lease` lives. */
export function storeTarget(store: Store, lease: Lease, names: readonly Reference[]): ImageTarget {
  return {
    holdsIndexes: true,
    holdsReferrers: true,
    has: ({ descriptor }) => store.blobs.size(descriptor.digest) === descriptor.size && lease.claim(descriptor.digest),
    put: async ({ descriptor: { digest, size } }, bytes) => {
      const ingest = lease.ingest({ digest, size })
      try {
        for await (const piece of bytes) ingest.write(piece)
        await ingest.commit()
      } finally {
        ingest.abort()
      }
    },
    commit: (image) => store.database.transaction(() => record(store, image, names)),
    [Symbol.dispose]: () => {},
  }
}

function record(
  store: Store,
  { root, manifests, blobs, referrers = [] }: CopiedImage,
  names: readonly Reference[],
): void {
  for (const { layer } of blobs) if (layer !== undefined) putLayerRecord(store, layer)
  for (const { descriptor, manifest } of manifests) linkManifest(store, descriptor.digest, manifest)
  for (const { descriptor, manifest, subject } of referrers) recordReferrer(store, descriptor.digest, manifest, subject)
  if (names.length === 0) return
  const [first] = manifests
  const descriptors = manifests.map(({ descriptor }) => descriptor)
  if (isIndexType(root.mediaType)) recordIndex(store, root, descriptors, names)
  else if (first !== undefined) recordManifest(store, root, first.manifest, names)
}
