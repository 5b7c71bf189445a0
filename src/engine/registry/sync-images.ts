import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { type CairnError, isCairnError } from '../../errors/error.ts'
import { parseImageLocation } from '../../images/image-location.ts'
import { openImageSource } from '../../images/image-source.ts'
import type { Digest } from '../../oci/digest.ts'
import { formatReference, parseReference, pinned, type Reference } from '../../oci/reference.ts'
import { copyReferrers } from '../../registry/client/copy-referrers.ts'
import { copyRemote } from '../../registry/client/copy.ts'
import type { ResolvedRemote } from '../../registry/client/resolve.ts'
import type { RegistryClient } from '../../registry/client/connection.ts'
import { copyImage } from '../images/copy-image.ts'
import { nameFilter } from '../name-filter.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'
import { describeRemote, remoteRepository } from '../build/remote-documents.ts'
import type { SyncJob } from './sync-jobs.ts'
import { formatSyncPlace, imagesOf, placeFor, type SourceImage } from './sync-places.ts'

export interface SyncOptions {
  readonly access: RegistryAccess
  /** Tells what would be copied and copies nothing. */
  readonly isDryRun: boolean
  /** Goes on with the other images where one fails. */
  readonly keepsGoing: boolean
  /** Images that are copied at once. */
  readonly concurrency: number
}

/** What became of one image. */
export interface SyncedImage {
  readonly source: string
  readonly target: string
  readonly outcome: 'copied' | 'current' | 'would copy' | 'failed'
  readonly digest?: Digest
  readonly blobs: number
  readonly bytes: number
  readonly error?: CairnError
}

/**
 * Brings images from where they are to where they are to be, several at once. An image that is there already costs a HEAD on
 * either side; of others only what is missing is moved, so that repeating a synchronisation that broke off goes on with it.
 * Images are found while others are copied and never all held. A failure is the outcome of its image; unless it keeps going
 * nothing is begun after it. Throws CANCELED, and what finding the images throws.
 */
export async function* syncImages(
  store: Store,
  jobs: readonly SyncJob[],
  options: SyncOptions,
): AsyncGenerator<SyncedImage> {
  recover(store)
  const client = registryClient(options.access)
  const running = new Map<number, Promise<readonly [id: number, image: SyncedImage]>>()
  const turns = new Turns()
  let count = 0
  let hasFailed = false
  const next = async (): Promise<SyncedImage> => {
    const [id, image] = await Promise.race(running.values())
    running.delete(id)
    hasFailed ||= image.outcome === 'failed'
    return image
  }
  try {
    for (const job of jobs) {
      const filter = {
        repositories: nameFilter({ include: job.repositories ?? [] }),
        tags: nameFilter({ include: job.tags ?? [], exclude: job.exclude ?? [], version: job.version }),
        newest: job.newest,
      }
      try {
        for await (const image of imagesOf(job.source, filter, client)) {
          while (running.size >= options.concurrency) yield await next()
          if (hasFailed && !options.keepsGoing) break
          const id = count++
          const work = syncOne(store, client, job, image, options, turns)
          const done = work.then((synced) => [id, synced] as const)
          // It may fail before its turn comes; the error surfaces there.
          done.catch(() => {})
          running.set(id, done)
        }
      } catch (error) {
        if (!isCairnError(error) || error.kind === 'canceled' || error.kind === 'usage') throw error
        hasFailed = true
        const source = formatSyncPlace(job.source)
        yield { source, target: formatSyncPlace(job.target), outcome: 'failed', blobs: 0, bytes: 0, error }
      }
      if (hasFailed && !options.keepsGoing) break
    }
    while (running.size > 0) yield await next()
  } finally {
    // Whoever stops listening waits for what was begun.
    await Promise.allSettled(running.values())
  }
}

/** Lets those who write to one place do so one after the other, and knows what went to each. */
class Turns {
  readonly #last = new Map<string, Promise<unknown>>()
  readonly #moved = new Map<string, Map<Digest, Promise<void>>>()

  /** Blobs that went, or are going, to a repository. */
  moved(thing: string): Map<Digest, Promise<void>> {
    let moved = this.#moved.get(thing)
    if (moved === undefined) this.#moved.set(thing, (moved = new Map()))
    return moved
  }

  async take<Result>(thing: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(thing)
    const own = (async () => {
      await before?.catch(() => {})
      return await work()
    })()
    this.#last.set(thing, own)
    try {
      return await own
    } finally {
      if (this.#last.get(thing) === own) this.#last.delete(thing)
    }
  }
}

async function syncOne(
  store: Store,
  client: RegistryClient,
  job: SyncJob,
  image: SourceImage,
  options: SyncOptions,
  turns: Turns,
): Promise<SyncedImage> {
  const source = image.reference === undefined ? image.location : `docker://${formatReference(image.reference)}`
  let target = ''
  try {
    const found = await foundAt(store, client, source, job)
    const digest = found?.descriptor.digest
    target = placeFor(job.target, image, digest)
    const there = await presentAt(store, client, target)
    const base = { source, target, ...(digest === undefined ? {} : { digest }), blobs: 0, bytes: 0 }
    if (there !== undefined && there === digest && !job.withReferrers) return { ...base, outcome: 'current' }
    if (options.isDryRun) return { ...base, outcome: there === digest ? 'current' : 'would copy' }
    // Images of one repository share layers: each finds what another has brought.
    const shared = target.slice(0, target.lastIndexOf(':')).replace(/@sha\d+$/, '')
    const sent = { source, target, found, isThere: there === digest, moved: turns.moved(shared) }
    const copy = (): ReturnType<typeof copyOne> => copyOne(store, client, job, sent, options.access)
    const isApart = found?.repositories !== undefined && remoteOf(target) !== undefined && !job.withReferrers
    const { blobs, bytes } = isApart ? await copy() : await turns.take(shared, copy)
    const isCurrent = there !== undefined && there === digest && blobs === 0
    return { ...base, outcome: isCurrent ? 'current' : 'copied', blobs, bytes }
  } catch (error) {
    if (!isCairnError(error) || error.kind === 'canceled' || error.kind === 'usage') throw error
    return { source, target, outcome: 'failed', blobs: 0, bytes: 0, error }
  }
}

/** An image on its way. */
interface FoundImage {
  readonly source: string
  readonly target: string
  readonly found: FoundSource | undefined
  readonly isThere: boolean
  /** Blobs that the repository of the target got, or is getting. */
  readonly moved: Map<Digest, Promise<void>>
}

async function copyOne(
  store: Store,
  client: RegistryClient,
  job: SyncJob,
  { source, target, found, isThere, moved }: FoundImage,
  access: RegistryAccess,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const { platform, withReferrers } = job
  const [from, to] = [remoteOf(source), remoteOf(target)]
  if (from === undefined || to === undefined || found?.repositories === undefined) {
    const copied = await copyImage(store, source, target, { platform, withReferrers, signal: access.signal, access })
    return copied.written
  }
  const names = { store, client, from, to }
  const { descriptor, repositories } = found
  const known = { source: { repositories, descriptor }, moved }
  const written = isThere ? { blobs: 0, bytes: 0 } : (await copyRemote({ ...names, known })).written
  if (withReferrers !== true) return written
  const more = await copyReferrers(names, descriptor)
  return { blobs: written.blobs + more.written.blobs, bytes: written.bytes + more.written.bytes }
}

function remoteOf(location: string): Reference | undefined {
  return location.startsWith('docker://') ? pinned(parseReference(location.slice('docker://'.length))) : undefined
}

/** What is at the source, and for an image of a registry where that may be had. */
type FoundSource = Pick<ResolvedRemote, 'descriptor'> & Partial<ResolvedRemote>

/** Undefined for one platform of what is no registry's: what that will be is not known yet. */
async function foundAt(
  store: Store,
  client: RegistryClient,
  source: string,
  { platform }: SyncJob,
): Promise<FoundSource | undefined> {
  if (remoteOf(source) !== undefined) {
    const { repositories, descriptor } = await describeRemote(source, client, platform)
    const { mediaType, digest, size } = descriptor
    return { repositories, descriptor: { mediaType, digest, size } }
  }
  using opened = await openLocal(store, source)
  return platform === undefined ? { descriptor: opened.target } : undefined
}

/** The digest of what is at the target, undefined for nothing, or nothing that can be read. */
async function presentAt(store: Store, client: RegistryClient, target: string): Promise<Digest | undefined> {
  const reference = remoteOf(target)
  if (reference !== undefined) {
    const repository = remoteRepository(reference, client, { isPush: true })
    return (await repository.describe(reference.digest ?? reference.tag ?? 'latest'))?.digest
  }
  try {
    using opened = await openLocal(store, target)
    return opened.target.digest
  } catch (error) {
    if (isCairnError(error) && error.kind !== 'canceled') return undefined
    throw error
  }
}

async function openLocal(store: Store, location: string): ReturnType<typeof openImageSource> {
  const place = parseImageLocation(location)
  if (place.transport === 'docker') throw new Error(`${location} is in a registry`)
  return await openImageSource(store, place)
}
