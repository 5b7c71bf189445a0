import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { layoutPaths } from '../../oci/layout.ts'
import type { Platform } from '../../oci/platform.ts'
import type { Reference } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { type ArchiveFiles, openArchive, spoolArchive } from './archive-files.ts'
import { isDockerArchive } from './docker-archive-images.ts'
import { DockerArchiveReader } from './docker-archive-reader.ts'
import { isImageConfigType } from '../image.ts'
import { LayoutReader } from '../layouts/layout-reader.ts'
import { linkManifest, recordIndex, recordManifest } from '../records/put-image.ts'
import { recordReferrer } from '../referrers.ts'
import type { VerifiedImage } from '../verified-image.ts'

/** An image that was loaded. */
export interface LoadedImage {
  readonly imageId: Digest
  readonly target: Descriptor
  /** The names it got; none for an archive that names none. */
  readonly references: readonly Reference[]
  /** Names that led elsewhere until now, with what they led to. */
  readonly moved: readonly { readonly name: string; readonly digest: Digest }[]
}

export interface LoadOptions {
  /** Of images for several platforms, load only this one. */
  readonly platform?: Platform | undefined
  /** Names a stream in errors. */
  readonly name?: string
}

/**
 * Loads the images of an archive: what `docker save` of any age, podman, skopeo and Cairn write, plain or compressed;
 * a path, or a stream. Every blob's digest and size and every layer's diff ID is checked before any image appears;
 * then all appear at once, with the names the archive gives them. Throws ARCHIVE_INVALID, MANIFEST_INVALID,
 * CONFIG_INVALID or BLOB_CORRUPT for an archive that is not what it says, IMAGE_PLATFORM where `platform` is not in it.
 */
export async function loadImages(
  store: Store,
  source: string | ByteSource,
  options: LoadOptions = {},
): Promise<readonly LoadedImage[]> {
  const name = options.name ?? (typeof source === 'string' ? source : 'archive')
  return await withLease(store, async (lease) => {
    using archive =
      typeof source === 'string' ? await openArchive(store, source) : await spoolArchive(store, source, name)
    const images = await readImages(store, lease, archive, name, options.platform)
    return store.database.transaction(() => {
      const known = new Set(
        images.flatMap(({ target, manifests }) => [
          target.digest,
          ...manifests.map(({ descriptor }) => descriptor.digest),
        ]),
      )
      return images.flatMap((image) => (keepAsReferrer(store, image, known) ? [] : [record(store, image)]))
    })
  })
}

async function readImages(
  store: Store,
  lease: Lease,
  archive: ArchiveFiles,
  name: string,
  platform: Platform | undefined,
): Promise<readonly VerifiedImage[]> {
  const isLayout = archive.find(layoutPaths.index) !== undefined && archive.find(layoutPaths.marker) !== undefined
  if (isLayout) return await new LayoutReader(store, lease, archive, platform).read()
  if (isDockerArchive(archive)) return await new DockerArchiveReader(store, lease, archive, name).read(platform)
  throw new CairnError(
    'ARCHIVE_INVALID',
    `${name} has neither index.json and oci-layout nor manifest.json nor repositories`,
    {
      hint: 'An archive of files of one root filesystem is imported, not loaded.',
    },
  )
}

/** Keeps an artifact that refers to an image of the archive, such as its signature, with that; false for images. */
function keepAsReferrer(store: Store, { manifests, isIndex }: VerifiedImage, known: ReadonlySet<Digest>): boolean {
  const [only] = manifests
  const subject = only?.manifest.subject?.digest
  if (isIndex || only === undefined || subject === undefined || !known.has(subject)) return false
  if (isImageConfigType(only.manifest.config.mediaType)) return false
  recordReferrer(store, only.descriptor.digest, only.manifest, subject)
  return true
}

function record(store: Store, image: VerifiedImage): LoadedImage {
  const { target, imageId, references, manifests, isIndex } = image
  for (const { descriptor, manifest } of manifests) linkManifest(store, descriptor.digest, manifest)
  const [only] = manifests
  const moved =
    isIndex || only === undefined
      ? recordIndex(
          store,
          target,
          manifests.map(({ descriptor }) => descriptor),
          references,
          'load',
        )
      : recordManifest(store, target, only.manifest, references, 'load')
  return { imageId, target, references, moved }
}
