import type { BaseImage } from '../../build/graph.ts'
import { blobNode } from '../../content/graph.ts'
import type { ImageRecord } from '../../content/image-records.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError, reworded } from '../../errors/error.ts'
import { storedImage } from '../../images/image.ts'
import { findByName, platformManifest, suitsPlatform } from '../../images/records/resolve-image.ts'
import { platformOf } from '../../oci/config.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { isManifestType } from '../../oci/media-types.ts'
import { formatPlatform, normalizePlatform, type Platform } from '../../oci/platform.ts'
import {
  familiarString,
  formatReference,
  parseReference,
  type Reference,
  withDefaultTag,
  withDigest,
} from '../../oci/reference.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import { shown } from '../shown-work.ts'

/** What is to be brought from a registry. */
export interface WantedBase {
  readonly platform: Platform
  /** Leaves the name to the image that has it in the store. */
  readonly isTagLeft: boolean
}

/** What was brought from a registry. */
export interface PulledBase {
  /** Digest of the manifest, which is for another platform where the registry has the image for one only. */
  readonly manifest: Digest
  /** Digest of what the name leads to: the manifest, or an index. */
  readonly target: Digest
}

/** Brings an image from its registry into the store, told of as statuses of `vertex`. */
export type PullBase = (
  reference: Reference,
  wanted: WantedBase,
  progress: ProgressListener,
  vertex: string,
) => Promise<PulledBase>

export interface BaseImageAccess extends Pick<RemoteAccess, 'store' | 'lease' | 'lock'> {
  /** Pulls what is not in the store; without it that fails. */
  readonly pullBase?: PullBase | undefined
  /** Pulls also what is in the store, to see whether it is still what the name means. */
  readonly isPullForced?: boolean | undefined
}

/**
 * The image a FROM names, protected by the lease: the locked one where there is a lock, else from the store, else from
 * its registry, also where the store has it for other platforms only. Its look-up is shown as BuildKit shows it, or as
 * `title`. Throws REFERENCE_INVALID, IMAGE_UNKNOWN, IMAGE_PLATFORM, LOCKFILE_MISMATCH, and as the pull.
 */
export async function resolveBaseImage(
  { store, lease, lock, pullBase, isPullForced }: BaseImageAccess,
  text: string,
  platform: Platform,
  progress: ProgressListener,
  title?: string,
): Promise<BaseImage> {
  return await shownLookUp({ text, platform, title }, progress, async (reference, name, _note, vertex) => {
    const locked = lock?.image(name, platform)
    const isFixed = locked !== undefined || reference.digest !== undefined
    let image = locked === undefined ? undefined : await imageByDigest(store, lease, locked, name)
    let isTagLeft = false
    if (image === undefined && (isFixed || isPullForced !== true)) {
      const found = await foundBase(() => baseImage(store, lease, reference, name, platform), platform, pullBase)
      if (found === 'other platform') isTagLeft = true
      else image = found
    }
    if (image === undefined && pullBase !== undefined) {
      const wanted = locked === undefined ? reference : withDigest(reference, locked)
      const pull = (): Promise<PulledBase> => pullBase(wanted, { platform, isTagLeft }, progress, vertex)
      const hint = isTagLeft ? `The store has it, but not for ${formatPlatform(platform)}.` : undefined
      const { manifest, target } = await pulledBase(pull, reference, name, hint)
      const pulled = await imageByDigest(store, lease, manifest, name)
      image = pulled && { ...pulled, index: target === manifest ? undefined : target }
    }
    if (image === undefined) throw missing(reference, name)
    lock?.sawImage(name, platform, image.digest)
    return image
  })
}

/** Failures are told in BuildKit's words. */
async function pulledBase(
  pull: () => Promise<PulledBase>,
  reference: Reference,
  name: string,
  hint: string | undefined,
): Promise<PulledBase> {
  try {
    return await pull()
  } catch (error) {
    if (!isCairnError(error) || error.kind === 'canceled') throw error
    const isAbsent = error.code === 'MANIFEST_UNKNOWN' || error.code === 'NAME_UNKNOWN'
    const hints = [hint, error.hint].filter((text) => text !== undefined).join(' ')
    const why = isAbsent ? `${name}: not found` : error.message
    throw new CairnError(
      error.code,
      `${familiarString(reference)}: failed to resolve source metadata for ${name}: ${why}`,
      { cause: error, ...(hints === '' ? {} : { hint: hints }) },
    )
  }
}

/** As moby's builder, an image here is the one that is meant only if it is of the platform, where it can be pulled. */
async function foundBase(
  find: () => Promise<BaseImage | undefined>,
  platform: Platform,
  pullBase: PullBase | undefined,
): Promise<BaseImage | 'other platform' | undefined> {
  if (pullBase === undefined) return await find()
  try {
    const image = await find()
    return image === undefined || isOfPlatform(image, platform) ? image : 'other platform'
  } catch (error) {
    if (!isCairnError(error, 'IMAGE_PLATFORM')) throw error
    return 'other platform'
  }
}

/** Images that do not tell their variant are taken for any. */
function isOfPlatform({ platform: own }: BaseImage, wanted: Platform): boolean {
  if (suitsPlatform(wanted, own)) return true
  const [a, b] = [normalizePlatform(own), normalizePlatform(wanted)]
  return own.variant === undefined && a.os === b.os && a.architecture === b.architecture
}

/**
 * Likewise for a plan that is only to be looked at: an image that is not in the store may well be where BuildKit would
 * find it, so something stands in for it.
 */
export async function findBaseImage(
  store: Store,
  lease: Lease,
  text: string,
  platform: Platform,
  progress: ProgressListener,
): Promise<BaseImage> {
  return await shownLookUp({ text, platform, title: undefined }, progress, async (reference, name, note) => {
    const image = await baseImage(store, lease, reference, name, platform)
    if (image === undefined) note('not in the store: its variables are not known')
    return image ?? standIn(name, platform)
  })
}

function standIn(name: string, platform: Platform): BaseImage {
  const { os, architecture } = platform
  const config = { os, architecture, rootfs: { type: 'layers' as const, diff_ids: [] } }
  return { name, digest: digestOf(name), config, platform, isStandIn: true }
}

async function shownLookUp(
  { text, platform, title }: { readonly text: string; readonly platform: Platform; readonly title: string | undefined },
  progress: ProgressListener,
  lookUp: (reference: Reference, name: string, note: (text: string) => void, vertex: string) => Promise<BaseImage>,
): Promise<BaseImage> {
  const reference = withDefaultTag(baseReference(text))
  const name = formatReference(reference)
  const id = `metadata ${name} ${formatPlatform(platform)}`
  const work = { id, name: title ?? `[internal] load metadata for ${name}`, status: 'resolving' }
  const note = (what: string): void => {
    const now = Date.now()
    progress({ type: 'status', vertex: id, id: what, current: 0, total: 0, timestamp: now, started: now })
  }
  return await shown(progress, work, () => lookUp(reference, name, note, id))
}

/** Throws REFERENCE_INVALID in BuildKit's words. */
function baseReference(text: string): Reference {
  try {
    return parseReference(text)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `failed to parse stage name ${JSON.stringify(text)}: ${error.message}`)
  }
}

function missing(reference: Reference, name: string): CairnError {
  return new CairnError(
    'IMAGE_UNKNOWN',
    `${familiarString(reference)}: failed to resolve source metadata for ${name}: ${name}: not found`,
    { hint: 'It is not in the store. Bring it with cairn pull, cairn load, cairn import or cairn bootstrap.' },
  )
}

/**
 * Undefined where the store has no image of the name. As in BuildKit, an image for one platform only is taken whatever
 * that is, which the linter has a word to say about.
 */
async function baseImage(
  store: Store,
  lease: Lease,
  reference: Reference,
  name: string,
  platform: Platform,
): Promise<BaseImage | undefined> {
  const record = findProtected(store, lease, reference)
  if (record === undefined) return undefined
  const isOne = isManifestType(record.mediaType)
  const manifest = await platformManifest(store, record, isOne ? undefined : platform, name)
  const { value: config } = await storedImage(store, manifest.digest).config()
  const index = isOne ? undefined : record.digest
  return { name, digest: manifest.digest, index, config, platform: platformOf(config) }
}

/** The image of a manifest's digest, which the store may have though no name leads to it any more. */
async function imageByDigest(store: Store, lease: Lease, digest: Digest, name: string): Promise<BaseImage | undefined> {
  if (!lease.claim(digest)) return undefined
  const { value: config } = await storedImage(store, digest).config()
  return { name, digest, config, platform: platformOf(config) }
}

/** The image of this name, which then stays as long as the lease even if the name is taken from it. */
function findProtected(store: Store, lease: Lease, reference: Reference): ImageRecord | undefined {
  let record = findByName(store, reference)
  while (record !== undefined) {
    lease.protect(blobNode(record.digest))
    const found = findByName(store, reference)
    if (found?.digest === record.digest) break
    record = found
  }
  return record
}
