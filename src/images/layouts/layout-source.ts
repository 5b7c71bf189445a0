import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { isManifestType } from '../../oci/media-types.ts'
import { checkLayoutMarker, layoutAnnotations, layoutBlobPath, layoutPaths } from '../../oci/layout.ts'
import { formatReference, parseReference, withDefaultTag } from '../../oci/reference.ts'
import { collect } from '../../streams/source.ts'
import type { ArchiveFile } from '../archives/archive-file.ts'
import { type ArchiveFiles, openArchive } from '../archives/archive-files.ts'
import { directoryFiles } from './directory-files.ts'
import type { FileLocation } from '../image-location.ts'
import { type ImageSource, missingBlob, readDocument } from '../image-source.ts'
import { nameOf } from './layout-reader.ts'
import { preferredEntry } from '../records/put-image.ts'
import { referrerDescriptor } from '../referrers.ts'

/** Entries that are looked at for what refers to an image. */
const mostReferrers = 1000

/** Opens an image of an OCI image layout: a directory, or an archive of one (image-spec image-layout.md). */
export async function openLayoutSource(store: Store, location: FileLocation, name: string): Promise<ImageSource> {
  const { path, transport } = location
  const files = transport === 'oci' ? directoryFiles(path) : await openArchive(store, path)
  try {
    checkLayoutMarker(await documentOf(files, layoutPaths.marker, name))
    const { value: index } = parseIndex(await documentOf(files, layoutPaths.index, name))
    const entry = choose(index.manifests, location, name)
    const { annotations: _names, platform: _platform, ...target } = entry
    const find = (digest: Digest): ArchiveFile | undefined => files.find(layoutBlobPath(digest))
    const source: ImageSource = {
      name,
      target,
      references: nameOf(entry),
      size: (digest) => find(digest)?.size,
      open: ({ digest }) => {
        const file = find(digest)
        if (file === undefined) throw missingBlob(name, digest)
        return file.read()
      },
      examined: () => undefined,
      referrers: (subject) => referrersIn(source, index.manifests, subject),
      [Symbol.dispose]: () => files[Symbol.dispose](),
    }
    return source
  } catch (error) {
    files[Symbol.dispose]()
    throw error
  }
}

/** The entries that are manifests with this subject. */
async function referrersIn(
  source: ImageSource,
  entries: readonly Descriptor[],
  subject: Digest,
): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = []
  for (const entry of entries.filter(isArtifact).slice(0, mostReferrers)) {
    const document = await readDocument(source, entry)
    if (document.type === 'manifest' && document.value.subject?.digest === subject)
      found.push(referrerDescriptor(document.value, entry))
  }
  return found
}

/** True for an entry that says that it is no image. */
function isArtifact({ artifactType, mediaType }: Descriptor): boolean {
  return artifactType !== undefined && isManifestType(mediaType)
}

/** The whole of a small file. Throws ARCHIVE_INVALID where it is missing, LIMIT_EXCEEDED past 4 MiB. */
export async function documentOf(files: ArchiveFiles, path: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = files.find(path)
  if (file === undefined) throw new CairnError('ARCHIVE_INVALID', `${name} has no ${path}`)
  return await collect(file.read(), largestDocument, `${name}: ${path}`)
}

function choose(entries: readonly Descriptor[], location: FileLocation, name: string): Descriptor {
  const { name: wanted, digest } = location
  const named = entries.filter(
    (entry) => (wanted === undefined || hasName(entry, wanted)) && (digest === undefined || entry.digest === digest),
  )
  // What refers to an image stands beside it without being asked for.
  const others = named.filter((entry) => !isArtifact(entry))
  const found = others.length > 0 ? others : named
  const images = [...new Map(found.map((entry) => [entry.digest, entry])).values()]
  const [only] = images
  if (only === undefined) throw unknown(entries, name)
  if (images.length === 1) return only
  // One name may stand for an image of each platform.
  const preferred =
    wanted !== undefined && images.every(({ platform }) => platform) ? preferredEntry(images) : undefined
  if (preferred !== undefined) return preferred
  throw new CairnError('IMAGE_AMBIGUOUS', `${name} has ${images.length} images`, {
    hint: `Name one of them after the path: ${listed(images)}.`,
  })
}

function hasName(entry: Descriptor, wanted: string): boolean {
  const { annotations } = entry
  if (annotations?.[layoutAnnotations.refName] === wanted) return true
  const whole = annotations?.[layoutAnnotations.imageName] ?? annotations?.[layoutAnnotations.refName]
  if (whole === undefined) return false
  try {
    return formatReference(withDefaultTag(parseReference(wanted))) === whole
  } catch {
    return false
  }
}

function unknown(entries: readonly Descriptor[], name: string): CairnError {
  return new CairnError('IMAGE_UNKNOWN', `${name}: there is no such image`, {
    hint: entries.length === 0 ? 'Its index.json lists none.' : `It has ${listed(entries)}.`,
  })
}

function listed(entries: readonly Descriptor[]): string {
  const names = entries.slice(0, 10).map(({ annotations, digest }) => {
    const name = annotations?.[layoutAnnotations.imageName] ?? annotations?.[layoutAnnotations.refName]
    return name ?? `@${digest}`
  })
  return names.join(', ') + (entries.length > 10 ? ', …' : '')
}
