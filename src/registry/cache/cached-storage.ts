import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest, DigestAlgorithm } from '../../oci/digest.ts'
import { listReferrers } from '../client/referrers.ts'
import type {
  GarbagePolicy,
  ManifestEntry,
  Page,
  PushedManifest,
  PutOptions,
  PutResult,
  ReferrersPage,
  ReferrersResult,
  RegistryGarbage,
  RegistryStorage,
  StoredBlob,
  UploadOptions,
  UploadState,
  UploadWriter,
} from '../storage/registry-storage.ts'
import { CachedBlobs } from './cached-blobs.ts'
import { CachedManifests, type CacheResult, isAbsence } from './cached-manifests.ts'
import { Coalesced } from './coalesced.ts'
import { Recent } from './recent.ts'
import { Upstream, type UpstreamOptions } from './upstream.ts'

/** Lists of upstreams that are kept in memory, how long at least, in milliseconds, and the most items of one. */
const knownLists = 1_000
const listTime = 10_000
const longestList = 100_000

/** Is told what a cache does. */
export interface CacheObserver {
  readonly count: (result: CacheResult) => void
  readonly onFetched: (bytes: number) => void
}

export interface CachedStorageOptions extends CacheObserver {
  readonly upstreams: readonly UpstreamOptions[]
  /** Directory for blobs that are on their way. */
  readonly directory: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * A storage of which some repositories are those of other registries: what it does not have of them is fetched there,
 * verified and kept in `storage`. Nothing can be pushed to them; deletion takes out of the cache.
 */
export function cachedStorage(storage: RegistryStorage, options: CachedStorageOptions): RegistryStorage {
  return new CachedStorage(storage, options)
}

class CachedStorage implements RegistryStorage {
  readonly #storage: RegistryStorage
  readonly #count: (result: CacheResult) => void
  readonly #upstreams: readonly Upstream[]
  readonly #blobs: CachedBlobs
  readonly #manifests: CachedManifests
  readonly #end = new AbortController()
  readonly #asking = new Coalesced<readonly string[] | undefined>()
  readonly #tags = new Recent<readonly string[] | null>(knownLists)

  constructor(storage: RegistryStorage, { upstreams, directory, env, count, onFetched }: CachedStorageOptions) {
    const { signal } = this.#end
    this.#storage = storage
    this.#count = count
    // The longest prefix counts.
    this.#upstreams = upstreams
      .toSorted((a, b) => b.prefix.length - a.prefix.length)
      .map((one) => new Upstream(one, { env, signal }))
    this.#blobs = new CachedBlobs({ storage, directory, signal, onFetched })
    this.#manifests = new CachedManifests({ storage, blobs: this.#blobs, count })
  }

  async hasRepository(repository: string): Promise<boolean> {
    if (await this.#storage.hasRepository(repository)) return true
    const upstream = this.#upstreamOf(repository)
    return upstream !== undefined && (await this.#tagsOf(upstream, repository)) !== undefined
  }

  listRepositories(page: Page): Promise<readonly string[]> {
    return this.#storage.listRepositories(page)
  }

  async findBlob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const kept = await this.#storage.findBlob(repository, digest)
    const upstream = this.#upstreamOf(repository)
    if (kept !== undefined || upstream === undefined) {
      if (upstream !== undefined) this.#count('hit')
      return kept
    }
    try {
      const found = await this.#blobs.find(upstream, repository, digest)
      this.#count(found === undefined ? 'absent' : 'miss')
      return found
    } catch (error) {
      this.#count('error')
      throw error
    }
  }

  mountBlob(repository: string, digest: Digest, from: string, quota?: number): Promise<boolean> {
    this.#refuseWriting(repository)
    return this.#storage.mountBlob(repository, digest, from, quota)
  }

  repositoriesWith(digest: Digest, page: Page): Promise<readonly string[]> {
    return this.#storage.repositoriesWith(digest, page)
  }

  blobBytes(repository: string): Promise<number> {
    return this.#storage.blobBytes(repository)
  }

  deleteBlob(repository: string, digest: Digest): Promise<boolean> {
    return this.#storage.deleteBlob(repository, digest)
  }

  async beginUpload(repository: string, options: UploadOptions): Promise<UploadState> {
    this.#refuseWriting(repository)
    return await this.#storage.beginUpload(repository, options)
  }

  findUpload(repository: string, id: string): Promise<UploadState | undefined> {
    return this.#storage.findUpload(repository, id)
  }

  openUpload(repository: string, id: string, algorithm?: DigestAlgorithm): Promise<UploadWriter | undefined> {
    return this.#storage.openUpload(repository, id, algorithm)
  }

  resolveManifest(repository: string, reference: string): Promise<ManifestEntry | undefined> {
    const upstream = this.#upstreamOf(repository)
    if (upstream === undefined) return this.#storage.resolveManifest(repository, reference)
    return this.#manifests.resolve(upstream, repository, reference)
  }

  readManifest(repository: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#storage.readManifest(repository, digest)
  }

  async putManifest(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult> {
    this.#refuseWriting(repository)
    return await this.#storage.putManifest(repository, manifest, options)
  }

  deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    return this.#storage.deleteManifest(repository, digest)
  }

  async listTags(repository: string, page: Page): Promise<readonly string[]> {
    const upstream = this.#upstreamOf(repository)
    const tags = upstream === undefined ? undefined : await this.#tagsOf(upstream, repository)
    if (tags === undefined) return await this.#storage.listTags(repository, page)
    const { after, limit } = page
    return (after === undefined ? tags : tags.filter((tag) => tag > after)).slice(0, limit)
  }

  deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#storage.deleteTag(repository, tag)
  }

  async listReferrers(repository: string, subject: Digest, page: ReferrersPage): Promise<ReferrersResult> {
    const upstream = this.#upstreamOf(repository)
    if (upstream === undefined) return await this.#storage.listReferrers(repository, subject, page)
    try {
      const found: Descriptor[] = []
      for await (const one of listReferrers(upstream.repository(repository), subject, page.artifactType)) {
        found.push(one)
        if (found.length >= longestList) break
      }
      return pageOf(found, page)
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      return await this.#storage.listReferrers(repository, subject, page)
    }
  }

  async collectGarbage(policy: GarbagePolicy): Promise<RegistryGarbage> {
    const { items, freed } = await this.#storage.collectGarbage({
      ...policy,
      unusedGrace: (repository) => this.#upstreamOf(repository)?.options.keep,
    })
    return { items, freed: freed + this.#blobs.removeOld(Date.now() - policy.uploadGrace, policy.isDryRun) }
  }

  async close(): Promise<void> {
    this.#end.abort()
    await this.#storage.close()
  }

  #upstreamOf(repository: string): Upstream | undefined {
    return this.#upstreams.find((one) => one.covers(repository))
  }

  #refuseWriting(repository: string): void {
    const upstream = this.#upstreamOf(repository)
    if (upstream === undefined) return
    throw new CairnError('DENIED', `${repository} is cached from ${upstream.options.url.host}: push it there`)
  }

  /** The tags that an upstream has, in the order of bytes; undefined where it has no such repository, or fails. */
  async #tagsOf(upstream: Upstream, repository: string): Promise<readonly string[] | undefined> {
    const known = this.#tags.get(repository)
    if (known !== undefined) return known ?? undefined
    return await this.#asking.run(repository, async () => {
      const time = Math.max(listTime, upstream.options.ttl)
      try {
        const tags: string[] = []
        for await (const tag of upstream.repository(repository).tags()) {
          tags.push(tag)
          if (tags.length >= longestList) break
        }
        const sorted = tags.toSorted((a, b) => (a < b ? -1 : 1))
        this.#tags.put(repository, sorted, time)
        return sorted
      } catch (error) {
        if (!(error instanceof CairnError)) throw error
        this.#tags.put(repository, null, isAbsence(error) ? time : listTime)
        return undefined
      }
    })
  }
}

/** A page of referrers, in the order of their digests. */
function pageOf(found: readonly Descriptor[], { after = '', bytes }: ReferrersPage): ReferrersResult {
  const descriptors: Descriptor[] = []
  let size = 0
  for (const one of found.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
    if (one.digest <= after) continue
    size += JSON.stringify(one).length
    if (size > bytes && descriptors.length > 0) return { descriptors, hasMore: true }
    descriptors.push(one)
  }
  return { descriptors, hasMore: false }
}
