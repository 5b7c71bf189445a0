import { getImageRecord, type ImageRecord, listRepositoryTags } from '../../content/image-records.ts'
import { blobNode } from '../../content/graph.ts'
import { acquireLease, type Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { serializeIndex } from '../../oci/image-index.ts'
import { layoutBlobPath, layoutMarker, layoutPaths } from '../../oci/layout.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import {
  formatReference,
  isIdentifier,
  parseNormalizedReference,
  parseReference,
  type Reference,
  repositoryName,
} from '../../oci/reference.ts'
import { verified } from '../../streams/source.ts'
import { TarWriter } from '../../tar/writer.ts'
import { ArchiveContent, type ArchivedImage } from './archive-content.ts'
import { archiveMember } from './archive-member.ts'
import { dockerManifestPath, serializeDockerManifest } from './docker-archive.ts'
import { recordImageEvent } from '../records/image-events.ts'
import { preferredEntry } from '../records/put-image.ts'
import { findImage, platformEntries, resolveImage } from '../records/resolve-image.ts'

/** Takes the archive's bytes in order; the next piece comes when the promise is fulfilled. */
export type ArchiveSink = (bytes: Uint8Array) => Promise<void> | void

export interface SaveOptions {
  /** Of images for several platforms, save only this one. */
  readonly platform?: Platform
}

/** What an archive was made of. */
export interface SavedImages {
  /** Manifests and indexes in the archive, each once. */
  readonly targets: readonly Descriptor[]
  /** Manifests that an index names and the store does not have: they are not in the archive. */
  readonly missing: readonly Descriptor[]
}

/**
 * Writes images as one archive that is an OCI image layout and a docker-archive at once: what `docker load`, skopeo,
 * podman and containerd read. `names` are references or IDs; a name without tag or digest stands for all tags of its
 * repository. Blobs go in as they are stored; the same images give the same bytes. Throws as resolveImage,
 * BLOB_UNKNOWN where a blob is missing (before anything was written), and what `write` throws.
 */
export async function saveImages(
  store: Store,
  names: readonly string[],
  write: ArchiveSink,
  options: SaveOptions = {},
): Promise<SavedImages> {
  using lease = acquireLease(store)
  const selections = await selectImages(store, lease, names, options.platform)
  const content = new ArchiveContent(store, selections)
  for (const digest of content.blobs)
    if (!lease.claim(digest)) throw new CairnError('BLOB_UNKNOWN', `blob ${digest} is not in the store`)
  await writeArchive(store, content, write)
  store.database.transaction(() => {
    for (const { image } of selections) recordImageEvent(store, 'save', image)
  })
  return { targets: content.targets, missing: content.missing }
}

interface Selection {
  readonly image: ImageRecord
  readonly descriptor: Descriptor
  readonly references: Reference[]
}

/** The images that names stand for, each once with all the tags it was asked for by. */
async function selectImages(
  store: Store,
  lease: Lease,
  names: readonly string[],
  platform: Platform | undefined,
): Promise<readonly Selection[]> {
  const selections = new Map<Digest, Selection>()
  for (const name of names) {
    const named = store.database.transaction(() => {
      const found = imagesNamed(store, name)
      lease.protect(...found.map(({ record }) => blobNode(record.digest)))
      return found
    })
    for (const { record, reference } of named) {
      const { digest, mediaType, size } = record
      const chosen = platform === undefined ? record : await platformToSave(store, record, platform)
      const selection: Selection = selections.get(chosen.digest) ?? {
        image: record,
        descriptor: chosen === record ? { mediaType, digest, size } : chosen,
        references: [],
      }
      selections.set(chosen.digest, selection)
      if (reference === undefined) continue
      const isKnown = selection.references.some((known) => formatReference(known) === formatReference(reference))
      if (!isKnown) selection.references.push(reference)
    }
  }
  return [...selections.values()]
}

/** The manifest of one platform. Throws IMAGE_PLATFORM with docker's text. */
async function platformToSave(store: Store, record: ImageRecord, platform: Platform): Promise<Descriptor> {
  const found = preferredEntry(await platformEntries(store, record), platform)
  if (found !== undefined) return found
  const message = `no suitable export target found for platform ${formatPlatform(platform)}`
  throw new CairnError('IMAGE_PLATFORM', message)
}

interface NamedImage {
  readonly record: ImageRecord
  /** With a tag; undefined for an image asked for by ID or digest. */
  readonly reference: Reference | undefined
}

function imagesNamed(store: Store, name: string): readonly NamedImage[] {
  const all = taggedImages(store, name)
  if (all !== undefined && all.length > 0) return all
  // It may be the beginning of an ID; where it is not, no tag was asked for.
  if (all !== undefined && findImage(store, name) === undefined)
    throw new CairnError('IMAGE_UNKNOWN', `No such image: ${name}`)
  const { record, reference } = resolveImage(store, name)
  return [{ record, reference: reference?.digest === undefined ? reference : undefined }]
}

/** All tags of the repository; undefined where `name` is more than the name of one. */
function taggedImages(store: Store, name: string): readonly NamedImage[] | undefined {
  if (isIdentifier(name) || isDigest(name)) return undefined
  const repository = parseReference(name)
  if (repository.tag !== undefined || repository.digest !== undefined) return undefined
  return listRepositoryTags(store, repositoryName(repository)).flatMap((tag) => {
    const record = getImageRecord(store, tag.digest)
    return record === undefined ? [] : [{ record, reference: parseNormalizedReference(tag.name) }]
  })
}

/**
 * Writes images of the store, protected by the caller, as one archive in the form of {@link saveImages}. Throws what
 * reading blobs and `write` throw.
 */
export async function writeImageArchive(
  store: Store,
  images: readonly ArchivedImage[],
  write: ArchiveSink,
): Promise<void> {
  await writeArchive(store, new ArchiveContent(store, images), write)
}

/** Writes the members sorted by path, directories before what is in them, all with the same owner and no time. */
async function writeArchive(store: Store, content: ArchiveContent, write: ArchiveSink): Promise<void> {
  const pieces: Uint8Array[] = []
  // The writer uses its buffer again, so what has to wait for the sink is copied.
  const tar = new TarWriter((bytes) => void pieces.push(bytes.slice()))
  const flush = async () => {
    for (const piece of pieces.splice(0)) await write(piece)
  }
  const put = async (path: string, bytes: Uint8Array) => {
    tar.add(archiveMember('file', path, bytes.length))
    tar.write(bytes)
    await flush()
  }
  const digests = [...content.blobs, ...content.documents.keys()].toSorted()
  const directories = new Set(digests.map((digest) => parentOf(layoutBlobPath(digest))))
  for (const path of [layoutPaths.blobs, ...directories]) tar.add(archiveMember('directory', path, 0))
  for (const digest of digests) {
    const document = content.documents.get(digest)
    if (document !== undefined) {
      await put(layoutBlobPath(digest), document)
      continue
    }
    const size = store.blobs.size(digest) ?? 0
    tar.add(archiveMember('file', layoutBlobPath(digest), size))
    for await (const bytes of verified(store.blobs.open(digest), { digest, size })) {
      tar.write(bytes)
      await flush()
    }
  }
  await put(layoutPaths.index, serializeIndex(content.index))
  await put(dockerManifestPath, serializeDockerManifest(content.dockerEntries))
  await put(layoutPaths.marker, new TextEncoder().encode(layoutMarker))
  tar.finish()
  await flush()
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
