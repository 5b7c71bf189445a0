import { collectPending } from '../../content/sweep.ts'
import { acquireLock, type LockOptions } from '../../content/lock.ts'
import type { Store } from '../../content/store.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { modifiedAt, tryLstat } from '../../linux/file-status.ts'
import { removeFile } from '../../linux/names.ts'
import type { Digest } from '../../oci/digest.ts'
import { collectedAge } from './grace.ts'
import { forgetBlob, freeBlobs, useResolution } from './local-blobs.ts'
import { forgetManifest } from './local-manifests.ts'
import type { LocalUploads } from './local-uploads.ts'
import { parentsFirst } from './parents-first.ts'
import type { GarbageItem, GarbagePolicy, RegistryGarbage } from './registry-storage.ts'

/** Rows removed in one transaction; pushes wait for about a millisecond. */
const batchSize = 64

/**
 * Garbage collection of the registry's part of the store, repository by repository, in time linear in what they hold.
 * It may run beside pushes, in this process or another: what goes is chosen first and asked about again in the
 * transaction that removes it. A push is safe from it because asking for a blob renews its time of use.
 */
export async function collectRegistryGarbage(
  store: Store,
  uploads: LocalUploads,
  policy: GarbagePolicy,
): Promise<RegistryGarbage> {
  using _lock = await acquireLock(store, 'registry-garbage-collection', lockOptions(policy))
  const items: GarbageItem[] = []
  let freed = expireUploads(store, uploads, policy, items)
  const repositories = store.database.all<{ name: string }>('SELECT name FROM registry_repositories ORDER BY name')
  const released = new Map<Digest, number>()
  for (const { name } of repositories) {
    policy.signal?.throwIfAborted()
    // Requests go on meanwhile.
    await new Promise((resolve) => setImmediate(resolve))
    const sweep = new RepositorySweep(store, name, policy)
    for (const item of await sweep.run()) {
      items.push(item)
      released.set(item.name as Digest, item.size)
    }
  }
  if (policy.isDryRun) freed += releasedAlone(store, items, released)
  else {
    freed += await freeBlobs(store, [...released.keys()], policy.signal)
    // What a server that was killed had begun to free.
    collectPending(store)
  }
  return { items, freed }
}

function lockOptions({ signal }: GarbagePolicy): LockOptions {
  return signal === undefined ? {} : { signal }
}

interface ManifestRow {
  readonly digest: Digest
  readonly size: number
  readonly pushedAt: number
}

class RepositorySweep {
  readonly #store: Store
  readonly #repository: string
  readonly #policy: GarbagePolicy
  readonly #now = Date.now()
  readonly #unusedGrace: number | undefined

  constructor(store: Store, repository: string, policy: GarbagePolicy) {
    this.#store = store
    this.#repository = repository
    this.#policy = policy
    this.#unusedGrace = policy.unusedGrace?.(repository)
  }

  async run(): Promise<GarbageItem[]> {
    const manifests = this.#unneededManifests()
    const gone = await this.#removeManifests(manifests)
    const blobs = await this.#removeBlobs(new Set(manifests.map(({ digest }) => digest)))
    if (!this.#policy.isDryRun) this.#removeEmptyRepository()
    return [...gone, ...blobs]
  }

  /** Manifests that no tag, index or subject leads to, those that name others first. */
  #unneededManifests(): ManifestRow[] {
    const grace = this.#unusedGrace ?? this.#policy.untaggedGrace
    if (grace === undefined) return []
    const all = this.#rows<ManifestRow>(
      'SELECT digest, size, pushed_at AS pushedAt FROM registry_manifests WHERE repository = ?',
    )
    const tagged =
      this.#unusedGrace === undefined
        ? this.#rows<{ digest: Digest }>('SELECT DISTINCT digest FROM registry_tags WHERE repository = ?')
        : []
    const edges = this.#rows<{ parent: Digest; child: Digest }>(
      `SELECT manifest AS parent, digest AS child FROM registry_references
       WHERE repository = ?1 AND digest IN (SELECT digest FROM registry_manifests WHERE repository = ?1)
       UNION ALL SELECT subject, digest FROM registry_referrers WHERE repository = ?1`,
    )
    const children = Map.groupBy(edges, ({ parent }) => parent)
    const oldest = this.#now - grace
    const young = all.filter(({ pushedAt }) => pushedAt > oldest)
    const needed = new Set<Digest>()
    const queue = [...tagged, ...young].map(({ digest }) => digest)
    for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
      if (needed.has(digest)) continue
      needed.add(digest)
      for (const { child } of children.get(digest) ?? []) queue.push(child)
    }
    const unneeded = new Map(all.filter(({ digest }) => !needed.has(digest)).map((row) => [row.digest, row]))
    return parentsFirst(unneeded, (digest) => (children.get(digest) ?? []).map(({ child }) => child))
  }

  async #removeManifests(rows: readonly ManifestRow[]): Promise<GarbageItem[]> {
    const { database } = this.#store
    const tagged = `SELECT 1 FROM registry_tags WHERE repository = ?1 AND digest = ?2 UNION ALL`
    const stillNeeded = `${this.#unusedGrace === undefined ? tagged : ''}
      SELECT 1 FROM registry_references WHERE repository = ?1 AND digest = ?2
      UNION ALL SELECT 1 FROM registry_manifests WHERE repository = ?1 AND digest = ?2 AND pushed_at > ?3
      UNION ALL SELECT 1 FROM registry_referrers INDEXED BY registry_referrers_by_digest
        JOIN registry_manifests AS subjects
        ON subjects.repository = ?1 AND subjects.digest = registry_referrers.subject
        WHERE registry_referrers.repository = ?1 AND registry_referrers.digest = ?2`
    const oldest = this.#now - (this.#unusedGrace ?? this.#policy.untaggedGrace ?? 0)
    return await this.#inBatches('manifest', rows, ({ digest }) => {
      if (database.one(stillNeeded, this.#repository, digest, oldest) !== undefined) return false
      return forgetManifest(this.#store, this.#repository, digest)
    })
  }

  /** Blobs that no manifest names, but for those manifests that go. */
  async #removeBlobs(goingManifests: ReadonlySet<Digest>): Promise<GarbageItem[]> {
    const { database } = this.#store
    const oldest = this.#now - collectedAge(this.#policy.blobGrace, useResolution)
    const old = this.#rows<{ digest: Digest; size: number }>(
      'SELECT digest, size FROM registry_blobs WHERE repository = ? AND used_at <= ?',
      oldest,
    )
    const named = this.#namedDigests(goingManifests)
    const rows = old.filter(({ digest }) => !named.has(digest))
    return await this.#inBatches('blob', rows, ({ digest }) => {
      const unneeded = database.one(
        `SELECT 1 FROM registry_blobs WHERE repository = ?1 AND digest = ?2 AND used_at <= ?3
         AND NOT EXISTS (SELECT 1 FROM registry_references WHERE repository = ?1 AND digest = ?2)`,
        this.#repository,
        digest,
        oldest,
      )
      return unneeded !== undefined && forgetBlob(this.#store, this.#repository, digest)
    })
  }

  #namedDigests(goingManifests: ReadonlySet<Digest>): ReadonlySet<Digest> {
    const rows = this.#rows<{ manifest: Digest; digest: Digest }>(
      'SELECT manifest, digest FROM registry_references WHERE repository = ?',
    )
    return new Set(rows.filter(({ manifest }) => !goingManifests.has(manifest)).map(({ digest }) => digest))
  }

  async #inBatches<Row extends { readonly digest: Digest; readonly size: number }>(
    kind: GarbageItem['kind'],
    rows: readonly Row[],
    remove: (row: Row) => boolean,
  ): Promise<GarbageItem[]> {
    const gone: Row[] = this.#policy.isDryRun ? [...rows] : []
    for (let start = 0; !this.#policy.isDryRun && start < rows.length; start += batchSize) {
      this.#policy.signal?.throwIfAborted()
      const batch = rows.slice(start, start + batchSize)
      gone.push(...this.#store.database.transaction(() => batch.filter(remove)))
      await Bun.sleep(0)
    }
    return gone.map(({ digest, size }) => ({ kind, repository: this.#repository, name: digest, size }))
  }

  #removeEmptyRepository(): void {
    this.#store.database.run(
      `DELETE FROM registry_repositories WHERE name = ?1 AND created_at <= ?2
       AND NOT EXISTS (SELECT 1 FROM registry_blobs WHERE repository = ?1)
       AND NOT EXISTS (SELECT 1 FROM registry_manifests WHERE repository = ?1)`,
      this.#repository,
      this.#now - this.#policy.blobGrace,
    )
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as MetadataDatabase.all(), which it calls
  #rows<Row>(sql: string, ...values: (string | number)[]): Row[] {
    return this.#store.database.all<Row>(sql, this.#repository, ...values)
  }
}

/** Removes uploads that nobody went on with, and files that belong to none; gives the bytes. */
function expireUploads(store: Store, uploads: LocalUploads, policy: GarbagePolicy, items: GarbageItem[]): number {
  const before = Date.now() - policy.uploadGrace
  const old = store.database.all<{ id: string; repository: string }>(
    'SELECT id, repository FROM registry_uploads WHERE used_at < ?',
    before,
  )
  let freed = 0
  for (const { id, repository } of old) {
    const size = policy.isDryRun ? (tryLstat(uploads.path(id))?.size ?? 0) : uploads.expire(id, before)
    if (size === undefined) continue
    items.push({ kind: 'upload', repository, name: id, size })
    freed += size
  }
  return freed + removeStrayFiles(store, uploads, policy, before)
}

/** Files whose upload is not recorded: their server died while it began or ended them. */
function removeStrayFiles(store: Store, uploads: LocalUploads, policy: GarbagePolicy, before: number): number {
  let freed = 0
  for (const { name: id } of tryListDirectory(store.path('registry', 'uploads'))) {
    const status = tryLstat(uploads.path(id))
    if (status === undefined || modifiedAt(status) >= before) continue
    if (store.database.one('SELECT 1 FROM registry_uploads WHERE id = ?', id) !== undefined) continue
    if (!policy.isDryRun) removeFile(uploads.path(id))
    freed += status.size
  }
  return freed
}

/** Bytes that would be free: those of blobs which no other repository has. Images of the store may still keep them. */
function releasedAlone(store: Store, items: readonly GarbageItem[], released: ReadonlyMap<Digest, number>): number {
  const counts = new Map<string, number>()
  for (const { name } of items) counts.set(name, (counts.get(name) ?? 0) + 1)
  let bytes = 0
  for (const [digest, size] of released) {
    const row = store.database.one<{ count: number }>(
      `SELECT (SELECT count(*) FROM registry_blobs WHERE digest = ?1)
        + (SELECT count(*) FROM registry_manifests WHERE digest = ?1) AS count`,
      digest,
    )
    if ((row?.count ?? 0) <= (counts.get(digest) ?? 0)) bytes += size
  }
  return bytes
}
