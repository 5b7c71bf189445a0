import { CairnError } from '../../errors/error.ts'
import {
  findImageRecords,
  getImageRecord,
  getTag,
  type ImageRecord,
  listTags,
  type TagRecord,
} from '../../content/image-records.ts'
import { blobNode } from '../../content/graph.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { platformOf } from '../../oci/config.ts'
import { isAttestation, parseImageDocument } from '../../oci/image-index.ts'
import { isIndexType } from '../../oci/media-types.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { formatPlatform, type Platform, selectPlatform } from '../../oci/platform.ts'
import {
  familiarString,
  formatReference,
  isIdentifier,
  parseNormalizedReference,
  parseReference,
  pinned,
  type Reference,
  repositoryName,
  withDefaultTag,
} from '../../oci/reference.ts'
import { storedImage } from '../image.ts'
import { preferredEntry } from './put-image.ts'

/** How many images an error names at most. */
const mostNamed = 5

/** Where the twelve characters of a short ID end. */
const shortIdEnd = 'sha256:'.length + 12

/** What a user's word for an image led to. */
export interface ResolvedImage {
  readonly record: ImageRecord
  /** The name it was found by; undefined when it was an ID. */
  readonly reference: Reference | undefined
}

/**
 * The image that `text` means, as docker reads it: a name (`latest` where it has no tag; with a digest the digest
 * decides), else an image ID, whole or any unique beginning of it, with or without `sha256:`. Throws IMAGE_UNKNOWN,
 * IMAGE_AMBIGUOUS, and REFERENCE_INVALID for what can be neither.
 */
export function resolveImage(store: Store, text: string): ResolvedImage {
  const found = findImage(store, text)
  if (found === undefined) throw unknownImage(text)
  return found
}

/** As {@link resolveImage}, at once protected by `lease`: nobody removes the image between the look and the protection. */
export function resolveProtected(store: Store, lease: Lease, text: string): ResolvedImage {
  return store.database.transaction(() => {
    const found = resolveImage(store, text)
    lease.protect(blobNode(found.record.digest))
    return found
  })
}

/** As {@link resolveImage}, undefined when there is no such image. */
export function findImage(store: Store, text: string): ResolvedImage | undefined {
  if (isIdentifier(text) || isDigest(text)) return findById(store, text)
  const reference = parseReference(text)
  const record = findByName(store, pinned(reference))
  if (record !== undefined) return { record, reference: withDefaultTag(reference) }
  return /^(?:sha256:)?[0-9a-f]{1,64}$/.test(text) ? findById(store, text) : undefined
}

/** The image with this exact name, which is already normalised (a build's FROM, a tag of the store). */
export function findByName(store: Store, reference: Reference): ImageRecord | undefined {
  const tag = getTag(store, formatReference(reference))
  if (tag !== undefined) return getImageRecord(store, tag.digest)
  const { digest } = reference
  if (digest === undefined) return undefined
  // A digest names an image in every repository that has a tag for it.
  const isHere = referencesOf(store, digest).some((known) => repositoryName(known) === repositoryName(reference))
  return isHere ? getImageRecord(store, digest) : undefined
}

/** All names that lead to a manifest or index. */
export function referencesOf(store: Store, digest: Digest): Reference[] {
  return listTags(store, digest).map((tag: TagRecord) => parseNormalizedReference(tag.name))
}

function findById(store: Store, text: string): ResolvedImage | undefined {
  const prefix = text.includes(':') ? text : `sha256:${text}`
  const found = findImageRecords(store, prefix)
  const byId = found.filter(({ imageId }) => imageId.startsWith(prefix))
  // The digest of a manifest names an image only where no ID begins so: an ID that `images` shows must do.
  const records = byId.length > 0 ? byId : found
  const ids = [...new Set(records.map(({ imageId }) => imageId))].toSorted()
  if (ids.length > 1) {
    const some = ids
      .slice(0, mostNamed)
      .map((id) => id.slice('sha256:'.length, Math.max(shortIdEnd, prefix.length + 4)))
    const rest = ids.length > mostNamed ? ` and ${ids.length - mostNamed} more` : ''
    throw new CairnError('IMAGE_AMBIGUOUS', `image ID ${text} is ambiguous: ${some.join(', ')}${rest}`, {
      hint: 'Give more characters of the ID.',
    })
  }
  const record = records[0]
  return record === undefined ? undefined : { record, reference: undefined }
}

/** The error for a name or ID that leads nowhere, with docker's text. */
export function unknownImage(text: string): CairnError {
  const shown = isIdentifier(text)
    ? `sha256:${text}`
    : isDigest(text)
      ? text
      : familiarString(withDefaultTag(parseReference(text)))
  return new CairnError('IMAGE_UNKNOWN', `No such image: ${shown}`)
}

/**
 * The manifest an image has for a platform; without one the best for this machine, else the first. Only manifests
 * that are in the store count. Throws IMAGE_PLATFORM naming those there are; `name` is the image in the message.
 */
export async function platformManifest(
  store: Store,
  record: ImageRecord,
  platform: Platform | undefined,
  name: string = record.imageId,
): Promise<Descriptor> {
  const entries = await platformEntries(store, record)
  const found = preferredEntry(entries, platform)
  if (found !== undefined) return found
  const wanted = platform === undefined ? 'any platform' : `the specified platform (${formatPlatform(platform)})`
  const present = entries.flatMap((entry) => (entry.platform === undefined ? [] : [formatPlatform(entry.platform)]))
  if (platform !== undefined && entries.length === 1 && !isIndexType(record.mediaType))
    throw new CairnError(
      'IMAGE_PLATFORM',
      `image with reference ${name} was found but its platform (${present[0] ?? 'unknown'}) does not match ${wanted}`,
    )
  const hint = `The store has it for ${present.length === 0 ? 'none' : present.join(', ')}.`
  throw new CairnError('IMAGE_PLATFORM', `image with reference ${name} was found but does not provide ${wanted}`, {
    hint,
  })
}

/** The images of all platforms that a record has in the store, with attestations left out. */
export async function platformEntries(store: Store, record: ImageRecord): Promise<readonly Descriptor[]> {
  const { digest, mediaType, size } = record
  const document = parseImageDocument(store.blobs.readAll(digest, largestDocument), mediaType)
  if (document.type === 'index')
    return document.value.manifests.filter((entry) => !isAttestation(entry) && store.blobs.has(entry.digest))
  if (record.imageId === digest) return [{ digest, mediaType, size }]
  const { value: config } = await storedImage(store, digest).config()
  return [{ digest, mediaType, size, platform: platformOf(config) }]
}

/** True when `platform` is one that an image for `wanted` may be of. */
export function suitsPlatform(wanted: Platform, platform: Platform): boolean {
  return selectPlatform(wanted, [platform]) === 0
}
