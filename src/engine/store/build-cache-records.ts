import { listCacheRecords, listStepRecords } from '../../content/cache-records.ts'
import type { CacheMount } from '../../content/cache-mounts.ts'
import { listFetchedFiles } from '../../content/fetched-files.ts'
import type { Store } from '../../content/store.ts'
import { tryListDirectory } from '../../linux/directories.ts'
import { modifiedAt, tryLstat } from '../../linux/file-status.ts'
import { blocksOf, treeSize } from '../../linux/tree-size.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { listMirrors } from '../../remote/git-mirror.ts'
import { findCacheMounts, isInUse } from './list-cache-mounts.ts'
import { type LayerUse, layerUse } from './layer-usage.ts'
import { cacheMountSize } from './remove-cache-mounts.ts'

/** BuildKit's kinds of records. */
export type BuildCacheType = 'regular' | 'source.local' | 'source.git.checkout' | 'exec.cachemount'

/** Something that is kept for later builds: as BuildKit, and with it docker, tells of it. */
export interface BuildCacheRecord {
  /** 25 letters and digits. */
  readonly id: string
  readonly type: BuildCacheType
  readonly description: string
  /** IDs of the records it was made on. */
  readonly parents: readonly string[]
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly usedAt: number
  /** Bytes on the disk. */
  readonly size: number
  /** An image has it too: to remove it frees nothing. */
  readonly isShared: boolean
  /** A build is using it: it cannot be removed. */
  readonly isInUse: boolean
  /** Later builds write to it. */
  readonly isMutable: boolean
  readonly kept: KeptThing
}

/** What a record is of, for whoever removes it. */
export type KeptThing =
  | { readonly kind: 'steps'; readonly keys: readonly string[] }
  | { readonly kind: 'fetched'; readonly url: string }
  | { readonly kind: 'mirror'; readonly name: string }
  | { readonly kind: 'context'; readonly path: string }
  | { readonly kind: 'mount'; readonly mount: CacheMount }

/** All that is kept for later builds, what was used last first. `layers` is what the caller knows of layers already. */
export function buildCacheRecords(store: Store, layers?: LayerUse): BuildCacheRecord[] {
  return [
    ...stepRecords(store, layers),
    ...fetchedRecords(store),
    ...mirrorRecords(store),
    ...contextRecords(store),
    ...mountRecords(store),
  ].toSorted((a, b) => b.usedAt - a.usedAt || (a.id < b.id ? -1 : 1))
}

/** Looks like BuildKit's, and is the same for the same thing. */
function recordId(name: string): string {
  const hex = new Bun.CryptoHasher('sha256').update(name).digest('hex')
  return BigInt(`0x1${hex}`).toString(36).slice(-25)
}

/** What the build engine writes into the results and histories of steps, as far as it is read here. */
interface StoredResult {
  readonly layer?: { readonly diffId?: string }
}

interface StoredStep {
  readonly text?: string
  readonly key?: string
  readonly inputs?: { readonly parent?: string }
}

/** One record for each layer, however many keys lead to it. */
function stepRecords(store: Store, layers: LayerUse | undefined): BuildCacheRecord[] {
  const told = new Map(listStepRecords(store).flatMap(({ inputs }) => storedSteps(inputs)))
  const rows = listCacheRecords(store).flatMap(({ result, ...row }) => {
    const diffId = (result as StoredResult).layer?.diffId
    return diffId !== undefined && isDigest(diffId) ? [{ ...row, diffId }] : []
  })
  if (rows.length === 0) return []
  const { sizes, ofImages } = layers ?? layerUse(store)
  const idOf = new Map(rows.map(({ key, diffId }) => [key, recordId(diffId)]))
  return [...Map.groupBy(rows, ({ diffId }) => diffId)].map(([diffId, group]) => {
    const steps = group.flatMap(({ key }) => told.get(key) ?? [])
    const parents = steps.flatMap(({ inputs }) => idOf.get(inputs?.parent ?? '') ?? [])
    return {
      id: recordId(diffId),
      type: 'regular',
      description: steps[0]?.text ?? `layer ${diffId}`,
      parents: [...new Set(parents)],
      createdAt: Math.min(...group.map(({ createdAt }) => createdAt)),
      usedAt: Math.max(...group.map(({ usedAt }) => usedAt)),
      size: sizes.get(diffId) ?? 0,
      isShared: ofImages.has(diffId),
      isInUse: false,
      isMutable: false,
      kept: { kind: 'steps', keys: group.map(({ key }) => key) },
    }
  })
}

/** The steps of one build, by key; of files that sources selected there is nothing to tell. */
function storedSteps(inputs: unknown): (readonly [string, StoredStep])[] {
  if (!Array.isArray(inputs)) return []
  return (inputs as StoredStep[]).flatMap((step) => (step.key === undefined ? [] : [[step.key, step] as const]))
}

function fetchedRecords(store: Store): BuildCacheRecord[] {
  const counted = new Set<Digest>()
  return listFetchedFiles(store).map(({ url, digest, usedAt }) => {
    const isFirst = !counted.has(digest)
    counted.add(digest)
    return {
      id: recordId(`url ${url}`),
      type: 'regular',
      description: 'file fetched from a server',
      parents: [],
      createdAt: usedAt,
      usedAt,
      // Of several addresses of one file the first has it.
      size: isFirst ? blocksOf(store.blobs.size(digest) ?? 0) : 0,
      isShared: false,
      isInUse: false,
      isMutable: false,
      kept: { kind: 'fetched', url },
    }
  })
}

function mirrorRecords(store: Store): BuildCacheRecord[] {
  return listMirrors(store).map(({ id, path, usedAt }) => ({
    id: recordId(`git ${id}`),
    type: 'source.git.checkout',
    description: 'git repository',
    parents: [],
    createdAt: usedAt,
    usedAt,
    size: treeSize(path),
    isShared: false,
    isInUse: false,
    isMutable: true,
    kept: { kind: 'mirror', name: id },
  }))
}

function contextRecords(store: Store): BuildCacheRecord[] {
  return tryListDirectory(store.path('builds', 'contexts')).flatMap(({ name }) => {
    const path = store.path('builds', 'contexts', name)
    const status = tryLstat(path)
    if (status === undefined) return []
    const usedAt = modifiedAt(status)
    return {
      id: recordId(`context ${name}`),
      type: 'source.local' as const,
      description: 'what is known of the files of a local context',
      parents: [],
      createdAt: usedAt,
      usedAt,
      size: status.allocated,
      isShared: false,
      isInUse: false,
      isMutable: true,
      kept: { kind: 'context' as const, path },
    }
  })
}

function mountRecords(store: Store): BuildCacheRecord[] {
  return findCacheMounts(store).map((mount) => ({
    id: recordId(`mount ${mount.name}`),
    type: 'exec.cachemount',
    description: `cached mount with id ${JSON.stringify(mount.id)}${userOf(mount)}`,
    parents: [],
    createdAt: mount.createdAt,
    usedAt: mount.usedAt,
    size: cacheMountSize(store, mount),
    isShared: false,
    isInUse: isInUse(store, mount),
    isMutable: true,
    kept: { kind: 'mount', mount },
  }))
}

function userOf({ usedBy }: CacheMount): string {
  return usedBy === undefined ? '' : ` of ${usedBy.dockerfile} in ${usedBy.context}`
}
