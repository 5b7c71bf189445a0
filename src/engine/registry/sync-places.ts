import { CairnError } from '../../errors/error.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { tryStat } from '../../linux/file-status.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { layoutAnnotations } from '../../oci/layout.ts'
import {
  formatReference,
  isTag,
  parseReference,
  repositoryName,
  type Reference,
  withoutTag,
  withTag,
} from '../../oci/reference.ts'
import { listRepositories } from '../../registry/client/catalog.ts'
import type { RegistryClient } from '../../registry/client/connection.ts'
import { Repository } from '../../registry/client/repository.ts'
import { compareTags } from '../name-filter.ts'

/** Where a synchronisation reads or writes: a whole registry, a repository, one image of it, or a directory. */
export type SyncPlace =
  | { readonly kind: 'registry'; readonly host: string }
  | { readonly kind: 'repository'; readonly reference: Reference }
  | { readonly kind: 'image'; readonly reference: Reference }
  | { readonly kind: 'oci'; readonly path: string }
  | { readonly kind: 'dir'; readonly path: string }

/** One image of a source: where it is, its repository relative to the source, and its tag or digest. */
export interface SourceImage {
  /** As `image copy` takes it. */
  readonly location: string
  /** Empty where the source is one repository. */
  readonly path: string
  /** Undefined for an image that is named by its digest alone. */
  readonly tag: string | undefined
  /** Of an image in a registry. */
  readonly reference?: Reference
}

export interface SourceFilter {
  readonly repositories: (name: string) => boolean
  readonly tags: (name: string) => boolean
  /** Only so many tags of each repository, the highest versions. */
  readonly newest?: number | undefined
}

const deepestFolder = 8

/** What a user writes for a place: `docker://HOST`, `docker://NAME[:TAG|@DIGEST]`, `oci:DIR`, `dir:DIR`. Throws USAGE. */
export function parseSyncPlace(text: string): SyncPlace {
  const [, kind, folder = ''] = /^(oci|dir):(.+)$/.exec(text) ?? []
  if (kind === 'oci' || kind === 'dir') return { kind, path: folder.replace(/\/+$/, '') }
  if (!text.startsWith('docker://'))
    throw new CairnError('USAGE', `${JSON.stringify(text)} is no place to synchronise`, {
      hint: 'There are docker://HOST, docker://NAME[:TAG], oci:DIR and dir:DIR.',
    })
  const name = text.slice('docker://'.length).replace(/\/+$/, '')
  const isHost = !name.includes('/') && /[.:]|^localhost$/.test(name)
  if (isHost) return { kind: 'registry', host: parseReference(`${name}/name`).domain }
  const reference = parseReference(name)
  const isImage = reference.tag !== undefined || reference.digest !== undefined
  return { kind: isImage ? 'image' : 'repository', reference }
}

/** The place as {@link parseSyncPlace} takes it. */
export function formatSyncPlace(place: SyncPlace): string {
  if (place.kind === 'oci' || place.kind === 'dir') return `${place.kind}:${place.path}`
  return `docker://${place.kind === 'registry' ? place.host : formatReference(place.reference)}`
}

/** Where in `place` an image of `source` belongs, as `image copy` takes it. Throws USAGE where that cannot be. */
export function placeFor(place: SyncPlace, { path, tag, reference }: SourceImage, digest: string | undefined): string {
  const below = (base: string): string => (path === '' ? base : `${base}/${path}`)
  if (place.kind === 'oci') {
    if (tag === undefined) throw new CairnError('USAGE', 'an image without a tag has no name in an OCI layout')
    return `oci:${below(place.path)}:${tag}`
  }
  if (place.kind === 'dir') {
    const folder = below(place.path)
    return `dir:${path === '' ? `${folder}/${tag ?? digest ?? ''}` : `${folder}:${tag ?? digest ?? ''}`}`
  }
  const suffix = tag === undefined ? `@${digest ?? ''}` : `:${tag}`
  if (place.kind === 'registry') {
    const own = path === '' ? reference?.path : path
    if (own === undefined)
      throw new CairnError('USAGE', `docker://${place.host} is a registry: name the repository in it`)
    return `docker://${place.host}/${own}${suffix}`
  }
  if (place.kind === 'image' && place.reference.tag !== undefined)
    return `docker://${repositoryName(place.reference)}:${place.reference.tag}`
  return `docker://${below(repositoryName(withoutTag(place.reference)))}${suffix}`
}

/** The images of a source that a filter takes, found as they are asked for. Throws what listing throws. */
export async function* imagesOf(
  place: SyncPlace,
  filter: SourceFilter,
  client: RegistryClient,
): AsyncGenerator<SourceImage> {
  if (place.kind === 'image') yield { location: '', path: '', tag: place.reference.tag, reference: place.reference }
  else if (place.kind === 'repository') yield* tagsOf(place.reference, '', filter, client)
  else if (place.kind === 'registry') {
    const connection = client.connection(client.hosts.hostEndpoint(place.host))
    for await (const name of listRepositories(connection, place.host)) {
      if (!filter.repositories(name)) continue
      const repository = parseReference(`${place.host}/${name}`)
      yield* tagsOf(repository, repository.path, filter, client)
    }
  } else if (tryStat(place.path)?.type !== 'directory')
    throw new CairnError('FILE_UNKNOWN', `${place.path}: there is no such directory`)
  else yield* imagesBelow(place.path, place.kind === 'oci' ? layoutReader(filter) : directoryReader(filter))
}

async function* tagsOf(
  repository: Reference,
  path: string,
  { tags, newest }: SourceFilter,
  client: RegistryClient,
): AsyncGenerator<SourceImage> {
  const name = repositoryName(repository)
  const source = new Repository(client, client.hosts.endpointFor(repository), { name })
  const imageOf = (tag: string): SourceImage => ({
    location: `docker://${name}:${tag}`,
    path,
    tag,
    reference: withTag(repository, tag),
  })
  const kept: string[] = []
  for await (const tag of source.tags()) {
    if (!isTag(tag) || !tags(tag)) continue
    if (newest === undefined) {
      yield imageOf(tag)
      continue
    }
    kept.push(tag)
    if (kept.length > 2 * newest + 100) kept.splice(0, kept.length, ...highest(kept, newest))
  }
  if (newest !== undefined) for (const tag of highest(kept, newest)) yield imageOf(tag)
}

function highest(tags: readonly string[], count: number): readonly string[] {
  return tags.toSorted((a, b) => compareTags(a, b, true)).slice(0, count)
}

/** What a folder holds: undefined for one that is to be looked into further. */
type FolderReader = (folder: string, path: string) => Promise<readonly SourceImage[] | undefined>

/** What the folders below `root` hold, by the order of names; `path` is where in it to begin. */
async function* imagesBelow(root: string, read: FolderReader, path = '', depth = 0): AsyncGenerator<SourceImage> {
  const folder = path === '' ? root : `${root}/${path}`
  const images = await read(folder, path)
  if (images !== undefined) return yield* images
  if (depth === deepestFolder) return
  for (const { name, type } of tryListDirectory(folder))
    if (type === 'directory') yield* imagesBelow(root, read, path === '' ? name : `${path}/${name}`, depth + 1)
}

/** Reads image layouts: each of their tags. */
function layoutReader({ repositories, tags }: SourceFilter): FolderReader {
  return async (folder, path) => {
    if (tryStat(`${folder}/oci-layout`)?.type !== 'file') return undefined
    if (path !== '' && !repositories(path)) return []
    const raw = await Bun.file(`${folder}/index.json`).bytes()
    if (raw.length > largestDocument)
      throw new CairnError('LIMIT_EXCEEDED', `${folder}/index.json is larger than 4 MiB`)
    return parseIndex(raw).value.manifests.flatMap((entry) => {
      const tag = entry.annotations?.[layoutAnnotations.refName]
      return tag !== undefined && isTag(tag) && tags(tag) ? [{ location: `oci:${folder}:${tag}`, path, tag }] : []
    })
  }
}

/** Reads directories of one image each, whose names are `REPOSITORY:TAG`, or a tag. */
function directoryReader({ repositories, tags }: SourceFilter): FolderReader {
  // oxlint-disable-next-line typescript/require-await -- other readers wait
  return async (folder, path) => {
    if (path === '' || tryStat(`${folder}/manifest.json`)?.type !== 'file') return undefined
    const [repository = '', tag] = path.includes(':') ? path.split(':') : ['', path]
    const isWanted = tag !== undefined && isTag(tag) && tags(tag) && (repository === '' || repositories(repository))
    return isWanted ? [{ location: `dir:${folder}`, path: repository, tag }] : []
  }
}
