import { acquireLease } from '../content/leases.ts'
import { getLayerRecord, type LayerRecord } from '../content/layer-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { type ImageDocument, parseImageDocument } from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import type { Reference } from '../oci/reference.ts'
import { type ByteSource, collect, verified } from '../streams/source.ts'
import { completeImage, type Image } from './image.ts'
import { type LocalLocation, formatImageLocation } from './image-location.ts'
import { listReferrers } from './referrers.ts'
import { resolveProtected } from './records/resolve-image.ts'

/** A place with one chosen image, opened for reading. To be disposed of. */
export interface ImageSource extends Disposable {
  /** The place as users write it. */
  readonly name: string
  /** The manifest or index. */
  readonly target: Descriptor
  /** Names with a tag that the place gives the image. */
  readonly references: readonly Reference[]
  /** Bytes of the blob that is there, undefined where there is none. */
  size(digest: Digest): number | undefined
  /** The bytes as they are there, not verified. Fails with BLOB_UNKNOWN where there are none. */
  open(blob: Descriptor): ByteSource
  /** The file that is the blob, where there is one that nobody but Cairn writes. */
  file?(digest: Digest): string | undefined
  /** What a layer unpacks to, where it was examined before; undefined where nobody knows. */
  examined(layer: Digest): LayerRecord | undefined
  /** Manifests that refer to `subject`, where the place keeps such. */
  referrers?(subject: Digest): Promise<readonly Descriptor[]>
}

function namedSource(store: Store, name: string): ImageSource {
  const lease = acquireLease(store)
  const { record, reference } = resolveProtected(store, lease, name)
  const { digest, mediaType, size } = record
  const references = reference === undefined || reference.digest !== undefined ? [] : [reference]
  return {
    ...storeSource(store, { digest, mediaType, size }, name),
    references,
    [Symbol.dispose]: () => lease[Symbol.dispose](),
  }
}

/** A manifest or index of the store as a source, protected by the caller; `name` is what errors call it. */
export function storeSource(store: Store, target: Descriptor, name: string): ImageSource {
  return {
    name,
    target,
    references: [],
    size: (blob) => store.blobs.size(blob),
    open: (blob) => store.blobs.open(blob.digest),
    file: (digest) => store.blobs.file(digest),
    examined: (layer) => getLayerRecord(store, layer),
    referrers: (subject) => Promise.resolve(listReferrers(store, subject)),
    [Symbol.dispose]: () => {},
  }
}

/**
 * Opens the image that `location` means. Throws IMAGE_UNKNOWN, IMAGE_AMBIGUOUS, ARCHIVE_INVALID, MANIFEST_INVALID,
 * SystemCallError.
 */
export async function openImageSource(store: Store, location: LocalLocation): Promise<ImageSource> {
  if (location.transport === 'store') return namedSource(store, location.name)
  const name = formatImageLocation(location)
  switch (location.transport) {
    case 'oci':
    case 'oci-archive': {
      const { openLayoutSource } = await import('./layouts/layout-source.ts')
      return await openLayoutSource(store, location, name)
    }
    case 'docker-archive': {
      const { openDockerArchiveSource } = await import('./archives/docker-archive-source.ts')
      return await openDockerArchiveSource(store, location, name)
    }
    case 'dir': {
      const { openDirectorySource } = await import('./layouts/directory-source.ts')
      return await openDirectorySource(location, name)
    }
    default:
      return location satisfies never
  }
}

/** The bytes of a blob, its digest and size checked as they go by. */
export function openBlob(source: ImageSource, blob: Descriptor): ByteSource {
  return verified(source.open(blob), blob)
}

/** A manifest or index of a source, its digest, size and media type checked. At most 4 MiB: LIMIT_EXCEEDED. */
export async function readDocument(source: ImageSource, descriptor: Descriptor): Promise<ImageDocument> {
  const { digest, mediaType, size } = descriptor
  if (size > largestDocument)
    throw new CairnError(
      'LIMIT_EXCEEDED',
      `${digest} has ${size} bytes, more than the ${largestDocument} that a manifest may have`,
    )
  return parseImageDocument(await collect(openBlob(source, descriptor), largestDocument, digest), mediaType)
}

/** The image with this manifest. */
export function imageOf(source: ImageSource, manifest: Descriptor): Image {
  return completeImage({
    rawManifest: async () => (await readDocument(source, manifest)).raw,
    openBlob: (blob) => source.open(blob),
  })
}

/** The error for a blob that a place lacks. */
export function missingBlob(name: string, digest: Digest): CairnError {
  return new CairnError('BLOB_UNKNOWN', `${name} lacks the blob ${digest}`)
}
