import { isCairnError } from '../../errors/error.ts'
import { isDigest } from '../../oci/digest.ts'
import type { Repository } from '../client/repository.ts'
import { parsePushedManifest } from '../server/pushed-manifest.ts'
import type { ManifestEntry, PushedManifest, RegistryStorage } from '../storage/registry-storage.ts'
import type { CachedBlobs } from './cached-blobs.ts'
import { Coalesced } from './coalesced.ts'
import { Recent } from './recent.ts'
import type { Upstream } from './upstream.ts'

/** What a request to the cache came to. */
export type CacheResult = 'hit' | 'revalidated' | 'miss' | 'absent' | 'stale' | 'error'

/** Things known by name that are kept in memory. */
const capacity = 100_000
/** How long it counts that there is no such manifest, and that the upstream fails, in milliseconds. */
const absenceTime = 10_000
const failureTime = 10_000
/** How long a client waits for the upstream where there is an answer already, in milliseconds. */
const patience = 5_000
/** How often the time of a manifest's last use is written down, in milliseconds. */
const useResolution = 3_600_000

export interface CachedManifestsOptions {
  readonly storage: RegistryStorage
  readonly blobs: CachedBlobs
  readonly count: (result: CacheResult) => void
}

/**
 * Manifests and tags of upstreams. What a digest names is fetched once. A tag is asked for again when its time is over,
 * without its manifest where that has not changed; where the upstream fails, or is slow, what was known last is given.
 */
export class CachedManifests {
  readonly #options: CachedManifestsOptions
  readonly #asking = new Coalesced<ManifestEntry | undefined>()
  /** Tags that were asked for lately. */
  readonly #fresh = new Recent<true>(capacity)
  readonly #absent = new Recent<true>(capacity)
  readonly #used = new Recent<true>(capacity)

  constructor(options: CachedManifestsOptions) {
    this.#options = options
  }

  async resolve(upstream: Upstream, name: string, reference: string): Promise<ManifestEntry | undefined> {
    const { storage, count } = this.#options
    const key = `${name} ${reference}`
    const kept = await storage.resolveManifest(name, reference)
    if (kept !== undefined && (isDigest(reference) || this.#fresh.get(key) === true)) {
      count('hit')
      await this.#use(upstream, name, kept, isDigest(reference) ? undefined : reference)
      return kept
    }
    if (this.#absent.get(key) === true) {
      count('absent')
      return undefined
    }
    const asked = this.#asking.run(key, () => this.#ask(upstream, name, reference, kept))
    if (kept === undefined) return await asked
    // Where there is an answer nobody waits long for a better one.
    const timer = Promise.withResolvers<ManifestEntry>()
    const timeout = setTimeout(() => {
      count('stale')
      timer.resolve(kept)
    }, patience)
    return await Promise.race([asked, timer.promise]).finally(() => clearTimeout(timeout))
  }

  async #ask(
    upstream: Upstream,
    name: string,
    reference: string,
    kept: ManifestEntry | undefined,
  ): Promise<ManifestEntry | undefined> {
    const { storage, count } = this.#options
    const key = `${name} ${reference}`
    const repository = upstream.repository(name)
    try {
      upstream.checkPause()
      const isSame = kept !== undefined && (await repository.describe(reference))?.digest === kept.digest
      const entry = isSame ? kept : await this.#fetch(repository, name, reference)
      this.#fresh.put(key, true, upstream.options.ttl)
      count(isSame ? 'revalidated' : 'miss')
      if (isSame) await this.#use(upstream, name, kept, reference)
      return entry
    } catch (error) {
      upstream.note(error)
      if (isAbsence(error)) {
        this.#absent.put(key, true, absenceTime)
        if (kept !== undefined && !isDigest(reference)) await storage.deleteTag(name, reference)
        count('absent')
        return undefined
      }
      if (kept === undefined) {
        count('error')
        throw error
      }
      this.#fresh.put(key, true, failureTime)
      count('stale')
      return kept
    }
  }

  /** Fetches a manifest, and keeps it. */
  async #fetch(repository: Repository, name: string, reference: string): Promise<ManifestEntry> {
    const { descriptor, document } = await repository.document(reference)
    const bytes = new Uint8Array(document.raw)
    const manifest = parsePushedManifest(bytes, descriptor.digest, descriptor.mediaType)
    await this.#keep(name, manifest, isDigest(reference) ? undefined : reference)
    return { digest: manifest.digest, mediaType: manifest.mediaType, size: manifest.size }
  }

  async #keep(name: string, manifest: PushedManifest, tag: string | undefined): Promise<void> {
    const { storage, blobs } = this.#options
    for (const { kind, digest, size } of manifest.references) if (kind === 'blob') blobs.expect(name, digest, size)
    this.#used.put(`${name} ${manifest.digest}`, true, useResolution)
    const tags = tag === undefined ? [] : [tag]
    await storage.putManifest(name, manifest, { tags, missing: 'accept', existingTags: 'move' })
  }

  /** Writes down that a manifest is used, so that it is kept. */
  async #use(upstream: Upstream, name: string, entry: ManifestEntry, tag: string | undefined): Promise<void> {
    if (upstream.options.keep === undefined || this.#used.get(`${name} ${entry.digest}`) === true) return
    const bytes = await this.#options.storage.readManifest(name, entry.digest)
    if (bytes !== undefined) await this.#keep(name, parsePushedManifest(bytes, entry.digest, entry.mediaType), tag)
  }
}

/** True where the upstream says that there is no such thing. */
export function isAbsence(error: unknown): boolean {
  return isCairnError(error, 'MANIFEST_UNKNOWN') || isCairnError(error, 'NAME_UNKNOWN')
}
