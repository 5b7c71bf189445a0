import type { LayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { usageError } from '../errors/error.ts'
import type { ImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'
import type { ByteSource } from '../streams/source.ts'
import { formatImageLocation, type LocalLocation } from './image-location.ts'

/** A manifest on its way to another place. */
export interface CopiedManifest {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** Undefined for artifacts, which are no images. */
  readonly config: ImageConfig | undefined
}

/** A blob on its way to another place. Its bytes are verified as they pass. */
export interface CopiedBlob {
  readonly descriptor: Descriptor
  readonly role: 'index' | 'manifest' | 'config' | 'layer' | 'other'
  /** What a layer unpacks to: verified. */
  readonly layer?: LayerRecord
}

/** A manifest that refers to an image, or to what refers to it. */
export interface CopiedReferrer {
  /** As lists of referrers have it. */
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  readonly subject: Digest
}

/** An image on its way to another place, all of it verified. */
export interface CopiedImage {
  /** The manifest or index it is known by. */
  readonly root: Descriptor
  readonly manifests: readonly CopiedManifest[]
  /** Each once: what is named stands before what names it. */
  readonly blobs: readonly CopiedBlob[]
  /** Names the source gives it. */
  readonly references: readonly Reference[]
  /** What refers to it and goes along, each after its subject. */
  readonly referrers?: readonly CopiedReferrer[]
}

/** A place that takes one image. Nothing of it is to be seen before commit, and nothing stays without it. */
export interface ImageTarget extends Disposable {
  /** False where there is room for the image of one platform only. */
  readonly holdsIndexes: boolean
  /** Whether there is a place for what refers to the image. */
  readonly holdsReferrers: boolean
  /** True where the blob is there already, whole. */
  has(blob: CopiedBlob): boolean | Promise<boolean>
  /** Takes the bytes of a blob; `bytes` fails at its end where they are not the blob's. */
  put(blob: CopiedBlob, bytes: ByteSource): Promise<void>
  /** As `put`, of a file that stays as it is until then; fails at the latest in `commit`. Not for manifests and indexes. */
  putFile?(blob: CopiedBlob, path: string): void
  /** Makes the image visible, with all its blobs there. */
  commit(image: CopiedImage): void | Promise<void>
}

/**
 * Opens the place `location` for one image. Throws USAGE for a place no image can be written to, REFERENCE_INVALID,
 * STORE_BUSY, SystemCallError.
 */
export async function openImageTarget(store: Store, lease: Lease, location: LocalLocation): Promise<ImageTarget> {
  if (location.transport !== 'store' && location.digest !== undefined)
    throw usageError(`${formatImageLocation(location)}: a digest cannot be written to`, {
      hint: 'The digest follows from the image; name it by a tag.',
    })
  switch (location.transport) {
    case 'store': {
      const { openStoreTarget } = await import('./store-target.ts')
      return openStoreTarget(store, lease, location.name)
    }
    case 'oci': {
      const { openLayoutTarget } = await import('./layouts/layout-target.ts')
      return openLayoutTarget(location)
    }
    case 'oci-archive': {
      const { openLayoutArchiveTarget } = await import('./archives/archive-targets.ts')
      return openLayoutArchiveTarget(location)
    }
    case 'docker-archive': {
      const { openDockerArchiveTarget } = await import('./archives/archive-targets.ts')
      return openDockerArchiveTarget(location)
    }
    case 'dir': {
      const { openDirectoryTarget } = await import('./layouts/directory-target.ts')
      return openDirectoryTarget(location)
    }
    default:
      return location satisfies never
  }
}
