import { getImageRecord, type ImageRecord, listRepositoryTags } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { recordTransferEvent } from '../../images/records/image-events.ts'
import { findByName, platformEntries, platformManifest } from '../../images/records/resolve-image.ts'
import type { PieceOptions } from '../../layers/chunked/compressed-pieces.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { isIndexType } from '../../oci/media-types.ts'
import type { Platform } from '../../oci/platform.ts'
import {
  familiarName,
  familiarString,
  parseNormalizedReference,
  type Reference,
  repositoryName,
  withDefaultTag,
} from '../../oci/reference.ts'
import type { TransferListener } from '../../progress/transfer-events.ts'
import type { LayerCompression } from '../../registry/client/blob-content.ts'
import { isStated, type PushedImage, pushImage as push } from '../../registry/client/push.ts'
import { CompressThreads } from '../threads/compress-threads.ts'
import { estargzImage } from './estargz-image.ts'
import { type RegistryAccess, registryClient } from '../registry/registry-access.ts'

export interface PushImageOptions {
  readonly access: RegistryAccess
  /** Of an image for several platforms, push only this one. */
  readonly platform?: Platform | undefined
  /**
   * How layers that the store keeps uncompressed are sent; `none` sends them as they are. With eStargz another image is
   * sent than the store's: the diff IDs of such layers are others.
   */
  readonly compression:
    | Omit<LayerCompression, 'compressor' | 'concurrency'>
    | { readonly format: 'estargz'; readonly level?: number | undefined }
    | 'none'
  readonly listener?: TransferListener
  /** Starts a thread; without it layers are compressed on this one. */
  readonly startWorker?: (() => Worker) | undefined
}

/** Pushes one image to where its name says. Throws IMAGE_UNKNOWN, and as pushImage() of the registry client. */
export async function pushImage(store: Store, text: Reference, options: PushImageOptions): Promise<PushedImage> {
  const reference = withDefaultTag(text)
  if (reference.digest !== undefined)
    throw new CairnError('REFERENCE_INVALID', 'cannot push a digest reference', { hint: 'Push it by a tag.' })
  const record = findByName(store, reference)
  if (record === undefined)
    throw new CairnError('IMAGE_UNKNOWN', `An image does not exist locally with the tag: ${familiarName(reference)}`, {
      hint: `\`cairn tag IMAGE ${familiarString(reference)}\` gives one that name.`,
    })
  return await withCompression(options, (compression) => pushOne(store, reference, record, options, compression))
}

/** Pushes an image of the store by its digest alone, without a tag. Throws IMAGE_UNKNOWN, and as {@link pushImage}. */
export async function pushByDigest(
  store: Store,
  reference: Reference,
  options: PushImageOptions,
): Promise<PushedImage> {
  const record = reference.digest === undefined ? undefined : getImageRecord(store, reference.digest)
  if (record === undefined) throw new CairnError('IMAGE_UNKNOWN', `there is no image ${familiarString(reference)} here`)
  return await withCompression(options, (compression) => pushOne(store, reference, record, options, compression))
}

/** Pushes every tag of a repository. Throws as {@link pushImage}. */
export async function pushAllTags(store: Store, repository: Reference, options: PushImageOptions): Promise<void> {
  const tags = listRepositoryTags(store, repositoryName(repository))
  if (tags.length === 0)
    throw new CairnError('IMAGE_UNKNOWN', `An image does not exist locally with the tag: ${familiarName(repository)}`)
  await withCompression(options, async (compression) => {
    for (const { name, digest } of tags) {
      const record = getImageRecord(store, digest)
      if (record !== undefined) await pushOne(store, parseNormalizedReference(name), record, options, compression)
    }
  })
}

/** How layers are compressed, and where. */
interface Compressing extends PieceOptions {
  readonly settings: Exclude<PushImageOptions['compression'], 'none'> | undefined
}

async function pushOne(
  store: Store,
  reference: Reference,
  record: ImageRecord,
  { access, platform, listener }: PushImageOptions,
  { settings, ...threads }: Compressing,
): Promise<PushedImage> {
  using lease = acquireLease(store)
  const chosen = await chosenImage(store, record, platform, reference, listener)
  const isEstargz = settings?.format === 'estargz'
  // What is signed or attested stays as it is, whatever is asked for.
  const isMade = isEstargz && !isStated(store, chosen)
  const forming = { store, lease, signal: access.signal, ...threads }
  const image = isMade ? await estargzImage(store, chosen, settings.level, forming) : chosen
  const compression = isEstargz ? (isMade ? undefined : ({ format: 'gzip' } as const)) : settings
  const pushed = await push({
    store,
    lease,
    client: registryClient(access),
    image,
    reference,
    compression: compression && { ...compression, ...threads },
    signal: access.signal,
    listener,
  })
  recordTransferEvent(store, 'push', record, reference)
  return pushed
}

/** What is pushed: all of it, the platform asked for, or the only one that the store has. */
async function chosenImage(
  store: Store,
  record: ImageRecord,
  platform: Platform | undefined,
  reference: Reference,
  listener: TransferListener = () => {},
): Promise<Descriptor> {
  const { digest, mediaType, size } = record
  if (platform !== undefined) return await platformManifest(store, record, platform, familiarString(reference))
  const all = { digest, mediaType, size }
  if (!isIndexType(mediaType)) return all
  const { value: index } = parseIndex(store.blobs.readAll(digest, largestDocument))
  if (index.manifests.every((entry) => store.blobs.has(entry.digest))) return all
  const [only, ...others] = await platformEntries(store, record)
  if (only === undefined || others.length > 0) return all
  listener({
    id: undefined,
    text: 'i Info → Not all multiplatform-content is present and only the available single-platform image was pushed',
  })
  listener({ id: undefined, text: `         ${digest} -> ${only.digest}` })
  return only
}

async function withCompression<Result>(
  { compression, startWorker }: PushImageOptions,
  work: (compressing: Compressing) => Promise<Result>,
): Promise<Result> {
  if (compression === 'none') return await work({ settings: undefined })
  if (startWorker === undefined) return await work({ settings: compression })
  using threads = new CompressThreads(startWorker)
  const { compressBlock: compressor, concurrency } = threads
  return await work({ settings: compression, compressor, concurrency })
}
