import { CairnError } from '../../../errors/error.ts'
import type { Digest } from '../../../oci/digest.ts'
import type { GarbageItem, GarbagePolicy, RegistryGarbage } from '../registry-storage.ts'
import { collectedAge } from '../grace.ts'
import { parentsFirst } from '../parents-first.ts'
import { parseRecord, type S3Blobs, useResolution } from './blobs.ts'
import type { Bucket, ObjectInfo } from '../../../object-storage/bucket.ts'
import { freshMark, type GuardedObjects, isTombstone } from './guarded-objects.ts'
import { inParallel } from './in-parallel.ts'
import { digestInKey, keys } from './layout.ts'
import { headerOf, type ManifestHeader, type S3Manifests } from './manifests.ts'
import { sizeOf, type S3Uploads, writerLease } from './uploads.ts'

/** Age in milliseconds of what belongs to nothing: what a request under way may be about to name is younger. */
const strayAge = 3_600_000
/** Age in milliseconds of tombstones that are left. */
const tombstoneAge = 60_000
/** How long a collection counts as alive after it last said so, and how often it does, in milliseconds. */
const lockLease = 60_000
const heartbeat = 15_000

/** The parts of a storage that garbage is collected in. */
export interface CollectedParts {
  readonly bucket: Bucket
  readonly guarded: GuardedObjects
  readonly blobs: S3Blobs
  readonly manifests: S3Manifests
  readonly uploads: S3Uploads
}

/**
 * Garbage collection beside pushes, with a number of requests linear in what is there. What goes was seen in a list, and
 * goes on condition that it is still what was seen: whoever needs something writes it anew first. One collection at a
 * time works in a bucket, to save work; two would do no harm. Nothing is collected where another one is at work.
 */
export async function collectBucketGarbage(parts: CollectedParts, policy: GarbagePolicy): Promise<RegistryGarbage> {
  await using lock = await GarbageLock.take(parts)
  return lock === undefined ? { items: [], freed: 0 } : await new Collection(parts, policy, lock).run()
}

class GarbageLock implements AsyncDisposable {
  /** When it was taken, by the server's clock. */
  readonly time: number
  readonly #guarded: GuardedObjects
  #etag: string
  #renewal: Promise<void> = Promise.resolve()
  readonly #timer: ReturnType<typeof setInterval>

  private constructor(guarded: GuardedObjects, time: Date, etag: string) {
    this.time = time.getTime()
    this.#guarded = guarded
    this.#etag = etag
    this.#timer = setInterval(() => {
      this.#renewal = this.#renewal.then(() => this.#renew())
    }, heartbeat)
    this.#timer.unref()
  }

  static async take({ guarded }: CollectedParts): Promise<GarbageLock | undefined> {
    const mark = `garbage ${freshMark()}`
    const created = await guarded.create(keys.garbageLock, mark)
    if (created !== undefined) return new GarbageLock(guarded, created.time, created.etag)
    const found = await guarded.head(keys.garbageLock)
    if (found === undefined || found.age < lockLease) return undefined
    const taken = await guarded.replace(keys.garbageLock, found.etag, mark)
    return taken === undefined ? undefined : new GarbageLock(guarded, taken.time, taken.etag)
  }

  async #renew(): Promise<void> {
    try {
      const written = await this.#guarded.replace(keys.garbageLock, this.#etag, `garbage ${freshMark()}`)
      if (written !== undefined) this.#etag = written.etag
    } catch (error) {
      // The collection itself meets the same failure, and tells of it.
      if (!(error instanceof CairnError)) throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewal
    await this.#guarded.remove(keys.garbageLock, this.#etag)
  }
}

interface SeenManifest {
  readonly digest: Digest
  readonly size: number
  readonly object: ObjectInfo
  readonly header: ManifestHeader
}

interface SeenLink {
  readonly digest: Digest
  readonly repository: string
  readonly object: ObjectInfo
}

class Collection {
  readonly #parts: CollectedParts
  readonly #policy: GarbagePolicy
  readonly #now: number
  readonly #items: GarbageItem[] = []
  #freed = 0

  constructor(parts: CollectedParts, policy: GarbagePolicy, { time }: GarbageLock) {
    const { blobGrace, untaggedGrace } = policy
    this.#parts = parts
    this.#policy = {
      ...policy,
      blobGrace: collectedAge(blobGrace, useResolution),
      untaggedGrace: untaggedGrace === undefined ? undefined : collectedAge(untaggedGrace, useResolution),
    }
    this.#now = time
  }

  async run(): Promise<RegistryGarbage> {
    const { bucket } = this.#parts
    const { blobGrace } = this.#policy
    await this.#expireUploads()
    const records = await this.#listDigests('records/')
    const links = await this.#listLinks()
    const named = new Map<string, ReadonlySet<Digest>>()
    const repositories: ObjectInfo[] = []
    for await (const object of bucket.list('catalog/')) repositories.push(object)
    for (const object of repositories) {
      this.#policy.signal?.throwIfAborted()
      const name = object.key.slice('catalog/'.length)
      named.set(name, await this.#sweepManifests(name))
    }
    const unlinked = await this.#sweepLinks(links, named, records)
    const held = new Set(links.filter((link) => !unlinked.has(link)).map(({ digest }) => digest))
    const unheld = [...records].filter(([digest, object]) => !held.has(digest) && this.#isOld(object, blobGrace))
    await this.#freeBlobs(unheld.map(([digest]) => digest))
    if (!this.#policy.isDryRun) {
      await this.#forgetRepositories(repositories)
      await this.#removeStrays()
    }
    return { items: this.#items, freed: this.#freed }
  }

  /** A negative time makes everything old: clocks do not count then. */
  #isOld({ modifiedAt }: Pick<ObjectInfo, 'modifiedAt'>, age: number): boolean {
    return age < 0 || modifiedAt <= this.#now - age
  }

  async #expireUploads(): Promise<void> {
    const { bucket, guarded, uploads } = this.#parts
    const { uploadGrace, isDryRun } = this.#policy
    for await (const object of bucket.list('uploads/')) {
      if (isTombstone(object) || !this.#isOld(object, uploadGrace)) continue
      const id = object.key.slice('uploads/'.length)
      const found = await uploads.read(id)
      if (found === undefined || found.object.etag !== object.etag) continue
      if (found.document.writer !== undefined && found.object.age <= writerLease) continue
      if (!isDryRun && !(await guarded.remove(object.key, object.etag))) continue
      if (!isDryRun) await uploads.drop(id, found.document)
      const size = sizeOf(found.document)
      this.#items.push({ kind: 'upload', repository: found.document.repository, name: id, size })
      this.#freed += size
    }
  }

  async #listDigests(prefix: string): Promise<Map<Digest, ObjectInfo>> {
    const found = new Map<Digest, ObjectInfo>()
    for await (const object of this.#parts.bucket.list(prefix)) {
      const digest = digestInKey(object.key, prefix)
      if (digest !== undefined && !isTombstone(object)) found.set(digest, object)
    }
    return found
  }

  async #listLinks(): Promise<SeenLink[]> {
    const found: SeenLink[] = []
    for await (const object of this.#parts.bucket.list('links/')) {
      const digest = digestInKey(object.key, 'links/')
      if (digest === undefined || isTombstone(object)) continue
      found.push({ digest, repository: object.key.slice(keys.links(digest).length), object })
    }
    return found
  }

  /** Removes manifests that nothing leads to; gives what the others name. */
  async #sweepManifests(repository: string): Promise<ReadonlySet<Digest>> {
    const { manifests } = this.#parts
    const listed = await this.#listDigests(keys.manifests(repository))
    const seen = await inParallel([...listed], ([digest, object]) => this.#readManifest(digest, object))
    const all = seen.filter((one) => one !== undefined)
    const gone = new Set<Digest>()
    for (const { digest, object, header, size } of await this.#unneeded(repository, all)) {
      if (!this.#policy.isDryRun && !(await manifests.remove(repository, digest, object.etag, header))) continue
      gone.add(digest)
      this.#items.push({ kind: 'manifest', repository, name: digest, size })
      this.#freed += size
    }
    if (gone.size > 0 && !this.#policy.isDryRun) await this.#removeDeadTags(repository, gone)
    return new Set(all.filter(({ digest }) => !gone.has(digest)).flatMap(({ header }) => header.references))
  }

  /** Removes tags that led to manifests which were removed. */
  async #removeDeadTags(repository: string, gone: ReadonlySet<Digest>): Promise<void> {
    const { guarded, manifests } = this.#parts
    for (const [tag, { digest, etag }] of await manifests.tagTargets(repository))
      if (gone.has(digest) && (await manifests.resolve(repository, digest)) === undefined)
        await guarded.remove(keys.tag(repository, tag), etag)
  }

  async #readManifest(digest: Digest, object: ObjectInfo): Promise<SeenManifest | undefined> {
    const found = await this.#parts.guarded.get(object.key)
    if (found === undefined) return undefined
    const header = headerOf(found.bytes)
    const size = Number(found.object.headers.get('x-amz-meta-size') ?? 0)
    return { digest, size, object: found.object, header }
  }

  async #unneeded(repository: string, all: readonly SeenManifest[]): Promise<SeenManifest[]> {
    const unusedGrace = this.#policy.unusedGrace?.(repository)
    const grace = unusedGrace ?? this.#policy.untaggedGrace
    if (grace === undefined) return []
    const there = new Map(all.map((one) => [one.digest, one]))
    const children = new Map(
      all.map(({ digest, header }) => [digest, header.references.filter((one) => there.has(one))]),
    )
    for (const { digest, header } of all)
      if (header.subject !== undefined) children.set(header.subject, [...(children.get(header.subject) ?? []), digest])
    const childrenOf = (digest: Digest) => children.get(digest) ?? []
    const young = all.filter(({ object }) => !this.#isOld(object, grace))
    // Tags are listed after manifests: whoever sets one writes its manifest before.
    const tags =
      unusedGrace === undefined
        ? await this.#parts.manifests.tagTargets(repository)
        : new Map<string, { readonly digest: Digest }>()
    const queue = [...young, ...tags.values()].map(({ digest }) => digest)
    const needed = new Set<Digest>()
    for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
      if (needed.has(digest)) continue
      needed.add(digest)
      queue.push(...childrenOf(digest))
    }
    return parentsFirst(new Map([...there].filter(([digest]) => !needed.has(digest))), childrenOf)
  }

  /** Removes links that no manifest names. */
  async #sweepLinks(
    links: readonly SeenLink[],
    named: ReadonlyMap<string, ReadonlySet<Digest>>,
    records: ReadonlyMap<Digest, ObjectInfo>,
  ): Promise<ReadonlySet<SeenLink>> {
    const { blobs } = this.#parts
    const { blobGrace, isDryRun } = this.#policy
    const old = links.filter(
      ({ digest, repository, object }) => this.#isOld(object, blobGrace) && named.get(repository)?.has(digest) !== true,
    )
    const sizes = await inParallel(old, async ({ digest, repository, object }) => {
      this.#policy.signal?.throwIfAborted()
      const size = records.has(digest) ? ((await blobs.record(digest))?.size ?? 0) : 0
      return isDryRun || (await blobs.unlink(repository, digest, object.etag)) ? size : undefined
    })
    const gone = old.filter((_, index) => sizes[index] !== undefined)
    for (const [index, { digest, repository }] of old.entries()) {
      const size = sizes[index]
      if (size !== undefined) this.#items.push({ kind: 'blob', repository, name: digest, size })
    }
    return new Set(gone)
  }

  async #freeBlobs(digests: readonly Digest[]): Promise<void> {
    const { blobs } = this.#parts
    const { isDryRun } = this.#policy
    const freed = await inParallel(digests, async (digest) => {
      this.#policy.signal?.throwIfAborted()
      return isDryRun ? ((await blobs.record(digest))?.size ?? 0) : await blobs.free(digest)
    })
    this.#freed += freed.reduce((total, size) => total + size, 0)
  }

  /** Forgets repositories that are empty. */
  async #forgetRepositories(repositories: readonly ObjectInfo[]): Promise<void> {
    const { guarded } = this.#parts
    for (const object of repositories) {
      if (isTombstone(object) || !this.#isOld(object, this.#policy.blobGrace)) continue
      const isEmpty = () => this.#isEmpty(object.key.slice('catalog/'.length))
      if (await isEmpty()) await guarded.remove(object.key, object.etag, isEmpty)
    }
  }

  async #isEmpty(repository: string): Promise<boolean> {
    for await (const object of this.#parts.bucket.list(keys.repository(repository))) {
      if (!isTombstone(object)) return false
    }
    return true
  }

  /** What processes that died have left: tombstones, data without a record, uploads without a state, tails. */
  async #removeStrays(): Promise<void> {
    const { bucket, guarded } = this.#parts
    for (const prefix of ['records/', 'links/', 'catalog/', 'repositories/', 'uploads/'])
      for await (const object of bucket.list(prefix))
        if (isTombstone(object) && this.#isOld(object, tombstoneAge)) await guarded.clear(object)
    const age = Math.max(this.#policy.uploadGrace, strayAge)
    const uploads = await this.#uploadsUnderWay()
    for await (const { key } of this.#strayData(age, uploads.data)) await bucket.delete(key)
    for await (const { key, upload, startedAt } of bucket.listMultiparts('data/'))
      if (this.#isOld({ modifiedAt: startedAt }, age) && !uploads.data.has(key.slice('data/'.length)))
        await bucket.abortMultipart(key, upload)
    for await (const object of bucket.list('tails/'))
      if (this.#isOld(object, age) && !uploads.ids.has(object.key.split('/')[1] ?? '')) await bucket.delete(object.key)
  }

  async #uploadsUnderWay(): Promise<{ readonly ids: ReadonlySet<string>; readonly data: ReadonlySet<string> }> {
    const { bucket, uploads } = this.#parts
    const ids = new Set<string>()
    const data = new Set<string>()
    for await (const object of bucket.list('uploads/')) {
      const id = object.key.slice('uploads/'.length)
      const found = isTombstone(object) ? undefined : await uploads.read(id)
      if (found === undefined) continue
      ids.add(id)
      data.add(found.document.data)
    }
    return { ids, data }
  }

  /**
   * Data that no record names. Mostly the lists tell: the record of data has a known MD5, which is its entity tag on most
   * servers. Every other record is read.
   */
  async *#strayData(age: number, underWay: ReadonlySet<string>): AsyncGenerator<ObjectInfo> {
    const { bucket, guarded } = this.#parts
    const old: ObjectInfo[] = []
    for await (const object of bucket.list('data/')) if (this.#isOld(object, age)) old.push(object)
    const candidates = new Map(old.map((object) => [recordTag(object), object]))
    // Records are listed after the data: one that is old has its record by now, or never.
    const unexplained: ObjectInfo[] = []
    for await (const object of bucket.list('records/'))
      if (!candidates.delete(object.etag) && !isTombstone(object)) unexplained.push(object)
    const named = new Set(underWay)
    await inParallel(candidates.size === 0 ? [] : unexplained, async ({ key }) => {
      const found = await guarded.get(key)
      if (found !== undefined) named.add(parseRecord(new TextDecoder().decode(found.bytes), key).data)
    })
    for (const object of candidates.values()) if (!named.has(object.key.slice('data/'.length))) yield object
  }
}

/** The entity tag that the record of some data has where it is an MD5. */
function recordTag({ key, size }: ObjectInfo): string {
  const body = JSON.stringify({ data: key.slice('data/'.length), size })
  return `"${new Bun.CryptoHasher('md5').update(body).digest('hex')}"`
}
