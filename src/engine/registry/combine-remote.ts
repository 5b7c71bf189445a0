import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { isImageConfigType } from '../../images/image.ts'
import { parseImageConfig, platformOf } from '../../oci/config.ts'
import { type Descriptor, parseDescriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { escapeMarkup } from '../../oci/go-json.ts'
import { type ImageDocument, serializeIndex } from '../../oci/image-index.ts'
import { largestDocument, parseJsonDocument } from '../../oci/json-document.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import {
  familiarString,
  parseReference,
  pinned,
  type Reference,
  repositoryName,
  withDigest,
} from '../../oci/reference.ts'
import type { Annotation } from '../../outputs/output.ts'
import type { RegistryClient } from '../../registry/client/connection.ts'
import { copyRemote } from '../../registry/client/copy.ts'
import { firstOf, resolveRemote } from '../../registry/client/resolve.ts'
import { collect, verified } from '../../streams/source.ts'
import { remoteRepository } from '../build/remote-documents.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'

/** What an image is made of: a name, or a digest or descriptor that a repository named elsewhere has. */
export interface CombineSource {
  /** As it was written, for errors. */
  readonly text: string
  readonly reference?: Reference
  readonly descriptor?: Pick<Descriptor, 'digest'> & Partial<Descriptor>
}

export interface CombineOptions {
  readonly access: RegistryAccess
  /** Names that the image is to have. */
  readonly tags: readonly Reference[]
  /** Of what the sources have only what is for one of these; all where there are none. */
  readonly platforms: readonly Platform[]
  /** Of the index, and of the entries in it. */
  readonly annotations: readonly Annotation[]
  /** Makes an index also of a single manifest. */
  readonly prefersIndex: boolean
}

/** An index of manifests in registries, or a single document that is copied as it is. */
export interface CombinedRemote {
  readonly descriptor: Descriptor
  readonly raw: Uint8Array
  /** What has to be where the image shall be, and where it is. */
  readonly parts: readonly { readonly digest: Digest; readonly from: Reference }[]
}

/** `sha256:…`, a descriptor as JSON, or a name. Throws USAGE, REFERENCE_INVALID. */
export function parseCombineSource(text: string): CombineSource {
  if (isDigest(text)) return { text, descriptor: { digest: text } }
  if (/^sha(?:256|512):/.test(text)) throw usageError(`${JSON.stringify(text)} is not a digest`)
  if (!text.trimStart().startsWith('{')) return { text, reference: parseReference(text) }
  const { value } = parseJsonDocument(text, { name: 'descriptor', code: 'USAGE' })
  if (value['schemaVersion'] !== undefined)
    throw usageError('expected an OCI content descriptor, got a manifest or index')
  return { text, descriptor: parseDescriptor(value, 'descriptor') }
}

/**
 * What `buildx imagetools create` makes of its sources: an index of their manifests, each once; one index alone as it is.
 * Throws USAGE where nothing says which repository a digest is of, IMAGE_PLATFORM where no platform is left, and as
 * resolveRemote() and Repository.document().
 */
export async function combineRemote(
  sources: readonly CombineSource[],
  options: CombineOptions,
): Promise<CombinedRemote> {
  const { annotations, prefersIndex, platforms } = options
  const client = registryClient(options.access)
  const found = await Promise.all(placed(sources, options.tags).map((source) => resolveSource(client, source)))
  const [first] = found
  if (first === undefined) throw usageError('no sources specified')
  const isAlone = found.length === 1 && annotations.length === 0 && platforms.length === 0
  if (isAlone && (first.document.type === 'index' || !prefersIndex)) return single(first)
  const entries = new Map<Digest, { readonly entry: Descriptor; readonly from: Reference }>()
  for (const { document, descriptor, reference } of found)
    for (const entry of document.type === 'index' ? document.value.manifests : [descriptor])
      entries.set(entry.digest, { entry: merged(entries.get(entry.digest)?.entry, entry), from: reference })
  const kept = forPlatforms([...entries.values()], platforms)
  const { raw, mediaType } = indexOf(
    kept.map(({ entry }) => entry),
    annotations,
  )
  const descriptor = { mediaType, digest: digestOf(raw), size: raw.length }
  return { descriptor, raw, parts: kept.map(({ entry, from }) => ({ digest: entry.digest, from })) }
}

/**
 * Copies the parts to the repositories of `tags` where they are not there, and names the image. Throws as copyRemote() and
 * Repository.putDocument().
 */
export async function pushCombined(
  store: Store,
  { descriptor, raw, parts }: CombinedRemote,
  { access, tags }: Pick<CombineOptions, 'access' | 'tags'>,
): Promise<void> {
  recover(store)
  const client = registryClient(access)
  for (const repository of new Map(tags.map((tag) => [repositoryName(tag), tag])).values())
    for (const { digest, from } of parts) {
      if (repositoryName(from) === repositoryName(repository)) continue
      // oxlint-disable-next-line no-await-in-loop -- the blobs of one are copied at once
      await copyRemote({ store, client, from: withDigest(from, digest), to: withDigest(repository, digest) })
    }
  for (const tag of tags) {
    const repository = remoteRepository(tag, client, { isPush: true })
    // oxlint-disable-next-line no-await-in-loop -- in the order in which they are given
    await repository.putDocument(tag.tag ?? descriptor.digest, raw, descriptor.mediaType)
  }
}

interface PlacedSource {
  readonly reference: Reference
  readonly descriptor: CombineSource['descriptor']
}

/** A digest alone is of the one repository that tags and sources name. */
function placed(sources: readonly CombineSource[], tags: readonly Reference[]): readonly PlacedSource[] {
  const named = [...sources.flatMap(({ reference }) => reference ?? []), ...tags]
  const [repository, ...others] = new Map(named.map((one) => [repositoryName(one), one])).values()
  return sources.map(({ text, reference, descriptor }) => {
    if (reference !== undefined) return { reference: pinned(reference), descriptor }
    if (repository === undefined || descriptor === undefined)
      throw usageError('no repositories specified, please set a reference in tag or source')
    if (others.length > 0)
      throw usageError(`multiple repositories specified, cannot infer repository for ${JSON.stringify(text)}`)
    return { reference: withDigest(repository, descriptor.digest), descriptor }
  })
}

interface ResolvedSource {
  readonly reference: Reference
  readonly descriptor: Descriptor
  readonly document: ImageDocument
}

async function resolveSource(
  client: RegistryClient,
  { reference, descriptor: given }: PlacedSource,
): Promise<ResolvedSource> {
  const { repositories, descriptor } = await resolveRemote(client, reference)
  const { document } = await firstOf(repositories, (repository) => repository.document(descriptor.digest))
  const named = { ...given, ...descriptor }
  if (document.type === 'index' || named.platform !== undefined || !isImageConfigType(document.value.config.mediaType))
    return { reference, descriptor: named, document }
  const { config } = document.value
  const { body } = await firstOf(repositories, (repository) => repository.openBlob(config))
  const bytes = await collect(verified(body, config), largestDocument, config.digest)
  return { reference, descriptor: { ...named, platform: platformOf(parseImageConfig(bytes).value) }, document }
}

function single({ reference, descriptor, document }: ResolvedSource): CombinedRemote {
  const digests = document.type === 'index' ? document.value.manifests.map(({ digest }) => digest) : [descriptor.digest]
  return { descriptor, raw: document.raw, parts: digests.map((digest) => ({ digest, from: reference })) }
}

function merged(before: Descriptor | undefined, entry: Descriptor): Descriptor {
  if (before === undefined) return entry
  const platform = entry.platform ?? before.platform
  const annotations = { ...before.annotations, ...entry.annotations }
  return {
    ...before,
    ...(platform === undefined ? {} : { platform }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }
}

const subjectAnnotation = 'vnd.docker.reference.digest'

/** The entries for some platforms, with the attestations of those. */
function forPlatforms<Entry extends { readonly entry: Descriptor }>(
  entries: readonly Entry[],
  platforms: readonly Platform[],
): readonly Entry[] {
  if (platforms.length === 0) return entries
  const wanted = new Set(platforms.map(formatPlatform))
  const suits = ({ platform }: Descriptor): boolean => platform === undefined || wanted.has(formatPlatform(platform))
  const images = new Set<string>(entries.flatMap(({ entry }) => (suits(entry) ? [entry.digest] : [])))
  const kept = entries.filter(
    ({ entry }) => images.has(entry.digest) || images.has(entry.annotations?.[subjectAnnotation] ?? ''),
  )
  if (kept.length > 0) return kept
  throw new CairnError('IMAGE_PLATFORM', 'none of the manifests match the provided platforms')
}

/** The index, laid out as buildx writes it: the same sources give the same digest. */
function indexOf(
  entries: readonly Descriptor[],
  annotations: readonly Annotation[],
): { readonly raw: Uint8Array; readonly mediaType: string } {
  const isDocker = entries.every(({ mediaType }) => mediaType.startsWith('application/vnd.docker.'))
  const mediaType = isDocker ? mediaTypes.dockerManifestList : mediaTypes.ociIndex
  // Docker's lists have none.
  const own = isDocker ? [] : annotations
  const ofIndex = own.filter(({ carrier }) => carrier === 'index').map(({ key, value }) => [key, value] as const)
  const compact = serializeIndex({
    schemaVersion: 2,
    mediaType,
    manifests: entries.map((entry) => annotated(entry, own)),
    ...(ofIndex.length === 0 ? {} : { annotations: Object.fromEntries(ofIndex) }),
  })
  const text = JSON.stringify(JSON.parse(new TextDecoder().decode(compact)), undefined, 2)
  return { raw: new TextEncoder().encode(escapeMarkup(text)), mediaType }
}

function annotated(entry: Descriptor, annotations: readonly Annotation[]): Descriptor {
  const { platform } = entry
  const isFor = (wanted: Platform | undefined): boolean =>
    wanted === undefined || (platform !== undefined && formatPlatform(wanted) === formatPlatform(platform))
  const own = annotations.filter((one) => one.carrier === 'manifest-descriptor' && isFor(one.platform))
  if (own.length === 0) return entry
  return {
    ...entry,
    annotations: { ...entry.annotations, ...Object.fromEntries(own.map((one) => [one.key, one.value])) },
  }
}

/** `--append`: what the first tag has comes first. */
export function appended(tags: readonly Reference[], sources: readonly CombineSource[]): readonly CombineSource[] {
  const [tag] = tags
  return tag === undefined ? sources : [{ text: familiarString(tag), reference: tag }, ...sources]
}
