import { putImageRecord } from '../../content/image-records.ts'
import { blobNode, unlink } from '../../content/graph.ts'
import type { Store } from '../../content/store.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { isAttestation, parseImageDocument } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import type { Platform } from '../../oci/platform.ts'
import { preferredImageId } from './put-image.ts'
import type { Removal } from './remove-image.ts'
import { platformEntries, platformManifest, resolveImage } from './resolve-image.ts'
import { storedImage } from '../image.ts'

/** The image of one platform, which an index that stays had. */
interface Part {
  readonly entry: Descriptor
  readonly imageId: Digest
}

/**
 * Takes the images for `platforms` out of the image that `name` means; its names and its other platforms stay. Undefined,
 * with nothing done, where no platform would be left: then the image is to be removed. The blobs go with the next
 * garbage collection. Throws as resolveImage, IMAGE_PLATFORM, and what `check` throws for an image that must stay.
 */
export async function removePlatforms(
  store: Store,
  name: string,
  platforms: readonly Platform[],
  check: (imageId: Digest) => void,
): Promise<Removal[] | undefined> {
  const { record } = resolveImage(store, name)
  const wanted = new Map<Digest, Part>()
  for (const platform of platforms) {
    // oxlint-disable-next-line no-await-in-loop -- one or two
    const entry = await platformManifest(store, record, platform, name)
    // oxlint-disable-next-line no-await-in-loop
    wanted.set(entry.digest, { entry, imageId: await storedImage(store, entry.digest).id() })
  }
  if ((await platformEntries(store, record)).every(({ digest }) => wanted.has(digest))) return undefined
  return store.database.transaction(() => {
    for (const { imageId } of wanted.values()) check(imageId)
    const document = parseImageDocument(store.blobs.readAll(record.digest, largestDocument), record.mediaType)
    const held =
      document.type === 'index' ? document.value.manifests.filter(({ digest }) => store.blobs.has(digest)) : []
    const goes = (entry: Descriptor): boolean => wanted.has(entry.digest) || isAttestationOf(entry, wanted)
    const targets = held.filter(goes).map(({ digest }) => digest)
    unlink(store, blobNode(record.digest), targets.map(blobNode))
    const left = held.filter((entry) => !goes(entry))
    putImageRecord(store, { ...record, imageId: preferredImageId(store, record.digest, left) })
    const [first, ...others] = [...wanted.values()]
    if (first === undefined) return []
    return [{ deleted: first.imageId, targets }, ...others.map(({ imageId }) => ({ deleted: imageId, targets: [] }))]
  })
}

/** BuildKit's annotation that names the image an attestation is of. */
const attestedDigest = 'vnd.docker.reference.digest'

function isAttestationOf(entry: Descriptor, images: ReadonlyMap<Digest, Part>): boolean {
  const subject = entry.annotations?.[attestedDigest]
  return isAttestation(entry) && subject !== undefined && [...images.keys()].some((digest) => digest === subject)
}
