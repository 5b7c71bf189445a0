import { type ImageRecord, listImageRecords, listTags } from '../../content/image-records.ts'
import { listIndexedManifests, listManifestRecords, type ManifestRecord } from '../../content/manifest-records.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { readReference, type Reference } from '../../oci/reference.ts'
import { shownTime } from '../fixed-time.ts'
import { recordMissingFacts } from './manifest-facts.ts'

/** An image ID and all that is known under it. */
export interface ImageSummary {
  readonly imageId: Digest
  /** Manifests and indexes with this ID, the newest first. */
  readonly targets: readonly ImageRecord[]
  /** Names with a tag, sorted. */
  readonly tags: readonly Reference[]
  /** Names with a digest, sorted. */
  readonly digests: readonly Reference[]
  /** No name leads here. */
  readonly isDangling: boolean
  /** RFC 3339, from the config, or when it came here, see {@link shownTime}. */
  readonly created: string | undefined
  readonly labels: Readonly<Record<string, string>>
  /** What is held here, the preferred one first; one entry unless the target is an index. */
  readonly platforms: readonly PlatformSummary[]
}

/** The image of one platform. */
export interface PlatformSummary extends ManifestRecord {
  readonly platform: Platform
}

/** All images of the store, the one recorded last first. No blob is read. */
export function listImages(store: Store): ImageSummary[] {
  const records = listImageRecords(store)
  const facts = new Facts(store)
  const summaries = summarize(store, records, facts)
  if (facts.unknown.length === 0) return summaries
  recordUnknown(store, facts.unknown)
  return summarize(store, records, new Facts(store))
}

function summarize(store: Store, records: readonly ImageRecord[], facts: Facts): ImageSummary[] {
  const names = namesByDigest(store)
  const groups = Map.groupBy(records, ({ imageId }) => imageId)
  const summaries: ImageSummary[] = []
  for (const [imageId, targets] of groups) {
    const platforms = facts.platformsOf(targets)
    const own = namesOf(targets, names)
    summaries.push({
      imageId,
      targets,
      tags: own.filter(isTag).map(readReference),
      digests: own.every(isTag) ? none : own.filter((name) => !isTag(name)).map(readReference),
      isDangling: own.length === 0,
      created: shownTime(platforms[0]?.created, arrivalOf(targets)),
      get labels() {
        return platforms[0]?.labels ?? {}
      },
      platforms,
    })
  }
  return summaries
}

const none: readonly never[] = []

function isTag(name: string): boolean {
  return !name.includes('@')
}

/** The names of all targets of an image, most of which have one target; sorted. */
function namesOf(targets: readonly ImageRecord[], names: ReadonlyMap<Digest, readonly string[]>): readonly string[] {
  const [only] = targets
  if (only !== undefined && targets.length === 1) return names.get(only.digest) ?? none
  return targets.flatMap(({ digest }) => names.get(digest) ?? none).toSorted(compareText)
}

/** When the first of an image's targets was recorded, in milliseconds since 1970. */
function arrivalOf(targets: readonly ImageRecord[]): number {
  return targets.reduce((first, { createdAt }) => Math.min(first, createdAt), Infinity)
}

function namesByDigest(store: Store): ReadonlyMap<Digest, readonly string[]> {
  const names = new Map<Digest, string[]>()
  for (const { name, digest } of listTags(store)) {
    const known = names.get(digest)
    if (known === undefined) names.set(digest, [name])
    else known.push(name)
  }
  return names
}

/** What is recorded of the manifests that images consist of. */
class Facts {
  readonly #manifests: ReadonlyMap<Digest, ManifestRecord>
  readonly #indexed: ReadonlyMap<Digest, readonly Digest[]>
  /** Targets that were asked for and of which nothing is recorded. */
  readonly unknown: ImageRecord[] = []

  constructor(store: Store) {
    this.#manifests = listManifestRecords(store)
    this.#indexed = listIndexedManifests(store)
  }

  /** What targets with one image ID hold: the image with that ID first, each image once. */
  platformsOf(targets: readonly ImageRecord[]): readonly PlatformSummary[] {
    const [only] = targets
    if (only !== undefined && targets.length === 1) {
      const record = this.#manifests.get(only.digest)
      if (record !== undefined) return isImage(record) ? [record] : none
    }
    const found = new Map<Digest, PlatformSummary>()
    for (const target of targets)
      for (const manifest of this.#indexed.get(target.digest) ?? [target.digest]) {
        const record = this.#manifests.get(manifest)
        if (record === undefined) this.unknown.push(target)
        else if (isImage(record) && !found.has(record.imageId)) found.set(record.imageId, record)
      }
    const platforms = [...found.values()]
    if (platforms.length < 2) return platforms
    const preferred = targets[0]?.imageId
    return platforms.toSorted(
      (a, b) => Number(b.imageId === preferred) - Number(a.imageId === preferred) || compareText(nameOf(a), nameOf(b)),
    )
  }
}

/** True unless it is an artifact or the attestation of an image. */
function isImage(record: ManifestRecord): record is PlatformSummary {
  return record.platform !== undefined && record.platform.os !== 'unknown'
}

function nameOf({ platform }: PlatformSummary): string {
  return formatPlatform(platform)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** Makes up for what earlier versions did not record. */
function recordUnknown(store: Store, unknown: readonly ImageRecord[]): void {
  for (const { digest, mediaType, size } of unknown)
    try {
      recordMissingFacts(store, { digest, mediaType, size })
    } catch (error) {
      // One image that is damaged must not hide the others; it is listed without what could not be read.
      if (!(error instanceof CairnError)) throw error
    }
}
