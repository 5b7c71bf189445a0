import { collectFrom } from '../../content/gc.ts'
import { blobNode } from '../../content/graph.ts'
import { deleteImageRecord, deleteTag, type ImageRecord, listTags } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { recordImageEvent } from '../../images/records/image-events.ts'
import { putIndex } from '../../images/records/put-image.ts'
import { findByName, findImage, platformEntries, resolveImage } from '../../images/records/resolve-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { isIndexType, mediaTypes } from '../../oci/media-types.ts'
import { hostPlatform, type Platform } from '../../oci/platform.ts'
import { familiarString, formatReference, parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { noSuchList } from '../registry/registry-manifests.ts'

export interface CreateOptions {
  /** Adds to a list that is there. */
  readonly amend?: boolean
  /** Brings an image that is not in the store; without it that fails. */
  readonly bring?: (name: string) => Promise<void>
}

/** A manifest list that was made. */
export interface CreatedList {
  readonly reference: Reference
  /** Manifests that an index among the sources names and the store does not have: the list is without them. */
  readonly missing: readonly Descriptor[]
}

/**
 * Makes an index of images of the store and names it `list`; of a source that is an index itself all images are taken,
 * with their attestations. Throws NAME_IN_USE, with docker's text for a list that is there when `amend` is not set,
 * IMAGE_UNKNOWN, REFERENCE_INVALID.
 */
export async function createManifestList(
  store: Store,
  list: string,
  names: readonly string[],
  { amend = false, bring }: CreateOptions = {},
): Promise<CreatedList> {
  const reference = listReference(list)
  recover(store)
  const before = findByName(store, reference)
  if (before !== undefined && !isIndexType(before.mediaType))
    throw new CairnError('NAME_IN_USE', `${familiarString(reference)} is an image and no manifest list`, {
      hint: 'Give the list another name, or remove the image.',
    })
  if (before !== undefined && !amend)
    throw new CairnError('NAME_IN_USE', 'refusing to amend an existing manifest list with no --amend flag')
  const missing: Descriptor[] = []
  const added: Descriptor[] = []
  for (const name of names) {
    const { present, absent } = await sourceEntries(store, name, bring)
    added.push(...present)
    missing.push(...absent)
  }
  const kept = before === undefined ? [] : entriesOf(store, before)
  await replaceList(store, reference, before, unique([...kept, ...added]))
  return { reference, missing }
}

/** What `manifest annotate` sets; what is undefined stays as it is. */
export interface PlatformChange {
  readonly os: string | undefined
  readonly architecture: string | undefined
  readonly variant: string | undefined
  readonly osVersion: string | undefined
  /** Added to those that are there. */
  readonly osFeatures: readonly string[]
}

/**
 * Changes what the list says of the platform of one of its images. Throws IMAGE_UNKNOWN for an image that is not in it
 * and PLATFORM_INVALID for one that Go knows no name of, both with docker's text.
 */
export async function annotateManifestList(
  store: Store,
  list: string,
  name: string,
  change: PlatformChange,
): Promise<void> {
  const reference = naming(`manifest list ${list}`, () => listReference(list))
  const digest = naming(`manifest ${name}`, () => sourceDigest(store, name))
  recover(store)
  const before = findByName(store, reference)
  const entries = before === undefined || !isIndexType(before.mediaType) ? [] : entriesOf(store, before)
  const entry = entries.find((one) => one.digest === digest)
  if (entry === undefined) throw new CairnError('IMAGE_UNKNOWN', `manifest for image ${name} does not exist in ${list}`)
  const platform = changed(entry.platform, change)
  const annotated = entries.map((one) => (one === entry ? { ...one, platform } : one))
  await replaceList(store, reference, before, annotated)
}

/**
 * Takes manifest lists away, each on its own; gives the failures, IMAGE_UNKNOWN with docker's text for what is no list.
 * The images stay.
 */
export async function removeManifestLists(store: Store, names: readonly string[]): Promise<readonly CairnError[]> {
  recover(store)
  const failures: CairnError[] = []
  const orphans: Digest[] = []
  for (const name of names) {
    try {
      const reference = listReference(name)
      store.database.transaction(() => {
        const record = findByName(store, reference)
        if (record === undefined || !isIndexType(record.mediaType)) throw noSuchList(reference)
        deleteTag(store, formatReference(reference))
        recordImageEvent(store, 'untag', record)
        orphans.push(...forgetNameless(store, record.digest))
      })
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push(error)
    }
  }
  await collectFrom(store, orphans.map(blobNode))
  return failures
}

/**
 * Digest of a member of a list as users name it: by a digest, or by the name or ID of an image of the store. Undefined
 * where there is none.
 */
export function sourceDigest(store: Store, name: string): Digest | undefined {
  const at = name.lastIndexOf('@')
  if (at > 0) return parseReference(name).digest
  return findImage(store, name)?.record.digest
}

/** What `read` gives; a name that is wrong is told as docker does. */
function naming<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isCairnError(error, 'REFERENCE_INVALID')) throw error
    throw new CairnError(error.code, `annotate: error parsing name for ${what}: ${error.message}`, { cause: error })
  }
}

function listReference(name: string): Reference {
  const reference = withDefaultTag(parseReference(name))
  if (reference.digest === undefined) return reference
  throw new CairnError('REFERENCE_INVALID', `${name}: a manifest list cannot be given a digest as its name`)
}

function entriesOf(store: Store, { digest }: ImageRecord): readonly Descriptor[] {
  return parseIndex(store.blobs.readAll(digest, largestDocument)).value.manifests
}

interface SourceEntries {
  readonly present: readonly Descriptor[]
  readonly absent: readonly Descriptor[]
}

async function sourceEntries(store: Store, name: string, bring: CreateOptions['bring']): Promise<SourceEntries> {
  if (findImage(store, name) === undefined) await bring?.(name)
  const { record } = resolveImage(store, name)
  if (!isIndexType(record.mediaType)) return { present: await platformEntries(store, record), absent: [] }
  const entries = entriesOf(store, record)
  return {
    present: entries.filter(({ digest }) => store.blobs.has(digest)),
    absent: entries.filter(({ digest }) => !store.blobs.has(digest)),
  }
}

/** Each manifest once, where it stood first, with what was said of it last. */
function unique(entries: readonly Descriptor[]): Descriptor[] {
  return [...new Map(entries.map((entry) => [entry.digest, entry])).values()]
}

/** Records the list with other members; what only the old one had goes. */
async function replaceList(
  store: Store,
  reference: Reference,
  before: ImageRecord | undefined,
  manifests: readonly Descriptor[],
): Promise<void> {
  using lease = acquireLease(store)
  const isDocker = manifests.every(({ mediaType }) => mediaType === mediaTypes.dockerManifest)
  await putIndex(store, {
    manifests,
    mediaType: isDocker ? mediaTypes.dockerManifestList : mediaTypes.ociIndex,
    tags: [reference],
    lease,
  })
  if (before === undefined) return
  const orphans = store.database.transaction(() => forgetNameless(store, before.digest))
  await collectFrom(store, orphans.map(blobNode))
}

/**
 * Forgets a list that has no tag any more: unlike an image nobody could want it back. The digest that it has where it was
 * pushed to is no name of its own.
 */
function forgetNameless(store: Store, digest: Digest): readonly Digest[] {
  const names = listTags(store, digest)
  if (names.some(({ name }) => parseReference(name).digest === undefined)) return []
  for (const { name } of names) deleteTag(store, name)
  deleteImageRecord(store, digest)
  return [digest]
}

function changed(platform: Platform | undefined, change: PlatformChange): Platform {
  const { os, architecture, variant, osVersion, osFeatures } = change
  const { os: hostOs } = hostPlatform()
  const next: Platform = {
    ...platform,
    os: os ?? platform?.os ?? hostOs,
    architecture: architecture ?? platform?.architecture ?? '',
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    ...(osFeatures.length === 0
      ? {}
      : { 'os.features': [...new Set([...(platform?.['os.features'] ?? []), ...osFeatures])] }),
  }
  if (architecturesOf[next.os]?.includes(next.architecture) !== true)
    throw new CairnError(
      'PLATFORM_INVALID',
      `manifest entry for image has unsupported os/arch combination: ${os ?? ''}/${architecture ?? ''}`,
      {
        hint: `Architectures of ${next.os}: ${architecturesOf[next.os]?.join(', ') ?? 'none, it is no system known here'}.`,
      },
    )
  return next
}

/** Go's names of systems and architectures that docker lets a list have. */
const architecturesOf: Readonly<Record<string, readonly string[] | undefined>> = {
  darwin: ['386', 'amd64', 'arm', 'arm64'],
  dragonfly: ['amd64'],
  freebsd: ['386', 'amd64', 'arm'],
  linux: '386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64le riscv64 s390x'.split(' '),
  netbsd: ['386', 'amd64', 'arm'],
  openbsd: ['386', 'amd64', 'arm'],
  plan9: ['386', 'amd64'],
  solaris: ['amd64'],
  windows: ['386', 'amd64', 'arm', 'arm64'],
}
