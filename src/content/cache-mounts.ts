import { listDirectory } from '../linux/directories.ts'
import { tryLstat } from '../linux/file-status.ts'
import { makeDirectories, removeFile, rename } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import { acquireLock, isLocked, type Lock, type LockOptions, tryAcquireLock, withLock } from './lock.ts'
import type { Store } from './store.ts'

/** How steps share a cache mount. */
export type CacheMountSharing = 'shared' | 'private' | 'locked'

/** What tells one cache mount from another: mounts that agree in all of it see the same files. */
export interface CacheMountIdentity {
  /** As the Dockerfile has it, with the namespace in front where there is one. */
  readonly id: string
  /** Owner and permission bits its directory is made with. */
  readonly uid: number
  readonly gid: number
  readonly mode: number
  /** Stands for the files that it begins with; absent for one that begins empty. */
  readonly seed?: string
}

/** Who used a cache mount. */
export interface CacheMountUser {
  /** The build context, as its builds are told apart. */
  readonly context: string
  readonly dockerfile: string
  readonly stage: string
}

/** A cache mount in the store: a directory `cache/mounts/<name>` with this in `record.json` and the files in `fs`. */
export interface CacheMount extends CacheMountIdentity {
  /** Made from the identity; copies for steps that want one of their own have a number at its end. */
  readonly name: string
  readonly sharing: CacheMountSharing
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly usedAt: number
  readonly usedBy?: CacheMountUser
}

/** A cache mount that nobody else removes, nor uses against its sharing, until it is released. */
export interface HeldCacheMount {
  readonly name: string
  /** Its files; there once {@link fillCacheMount} is done. */
  readonly files: string
  readonly lock: Lock
}

const recordFile = 'record.json'

/** The name of the cache mount's directory. */
export function cacheMountName({ id, uid, gid, mode, seed }: CacheMountIdentity): string {
  const identity = seed === undefined ? [id, uid, gid, mode] : [id, uid, gid, mode, seed]
  return digestHex(digestOf(JSON.stringify(identity))).slice(0, 32)
}

/**
 * Takes hold of a cache mount: `locked` waits until nobody has it, `private` takes the first copy that nobody has, and
 * `shared` the first that nobody has alone. Throws CANCELED while it waits.
 */
export async function holdCacheMount(
  store: Store,
  name: string,
  sharing: CacheMountSharing,
  options: LockOptions,
): Promise<HeldCacheMount> {
  if (sharing === 'locked') return held(store, name, await acquireLock(store, lockName(name), options))
  for (let copy = 0; ; copy++) {
    const copyName = copy === 0 ? name : `${name}-${copy}`
    const lock = tryAcquireLock(store, lockName(copyName), sharing === 'shared' ? 'shared' : 'exclusive')
    if (lock !== undefined) return held(store, copyName, lock)
  }
}

/**
 * Makes the directory of a held cache mount where it is not there, whole before anybody sees it and once: `make` puts
 * the first files into the empty directory it is given. Notes that it is used.
 */
export async function fillCacheMount(
  store: Store,
  { name, files }: HeldCacheMount,
  use: CacheMountIdentity & Pick<CacheMount, 'sharing' | 'usedBy'>,
  make: (directory: string) => Promise<void> | void,
  signal?: AbortSignal,
): Promise<void> {
  const now = Date.now()
  const home = homeOf(store, name)
  if (tryLstat(files) === undefined)
    await withLock(store, `new ${lockName(name)}`, signal === undefined ? {} : { signal }, async () => {
      // Whoever was waited for has made it.
      if (tryLstat(files) !== undefined) return
      const unfinished = store.session.temporaryPath('cache')
      makeDirectories(`${unfinished}/fs`)
      await make(`${unfinished}/fs`)
      writeRecord(unfinished, { ...use, name, createdAt: now, usedAt: now })
      makeDirectories(store.path('cache', 'mounts'), 0o755)
      rename(unfinished, home)
    })
  const createdAt = readRecord(home, name)?.createdAt ?? now
  writeRecord(home, { ...use, name, createdAt, usedAt: now }, store.session.temporaryPath('record'))
}

/** Every cache mount, the one used last first. */
export function listCacheMounts(store: Store): CacheMount[] {
  const directory = store.path('cache', 'mounts')
  if (tryLstat(directory) === undefined) return []
  return listDirectory(directory)
    .flatMap(({ name }) => readRecord(`${directory}/${name}`, name) ?? [])
    .sort((a, b) => b.usedAt - a.usedAt || (a.name < b.name ? -1 : 1))
}

/** True while a step uses the cache mount. */
export function isCacheMountUsed(store: Store, name: string): boolean {
  return isLocked(store, lockName(name))
}

/** Takes hold of a cache mount if no step uses it. */
export function tryHoldCacheMount(store: Store, name: string): HeldCacheMount | undefined {
  const lock = tryAcquireLock(store, lockName(name))
  return lock === undefined ? undefined : held(store, name, lock)
}

/** Puts `directory`, a whole directory of files, in the place of what a cache mount held alone has had. */
export function replaceCacheMount(
  store: Store,
  mount: HeldCacheMount,
  identity: CacheMountIdentity,
  directory: string,
): void {
  const now = Date.now()
  const home = store.session.temporaryPath('cache')
  makeDirectories(home)
  rename(directory, `${home}/fs`)
  writeRecord(home, { ...identity, name: mount.name, sharing: 'shared', createdAt: now, usedAt: now })
  removeCacheMount(store, mount)
  makeDirectories(store.path('cache', 'mounts'), 0o755)
  rename(home, homeOf(store, mount.name))
}

/** Removes a cache mount that is held alone; it is gone at once, and what it holds by and by. */
export function removeCacheMount(store: Store, { name }: HeldCacheMount): void {
  const home = homeOf(store, name)
  if (tryLstat(home) === undefined) return
  const removed = store.session.temporaryPath('removed-cache')
  rename(home, removed)
  removeTree(removed)
}

function held(store: Store, name: string, lock: Lock): HeldCacheMount {
  return { name, files: `${homeOf(store, name)}/fs`, lock }
}

function homeOf(store: Store, name: string): string {
  return store.path('cache', 'mounts', name)
}

function lockName(name: string): string {
  return `cache mount ${name}`
}

function writeRecord(home: string, record: CacheMount, temporary = `${home}/${recordFile}`): void {
  writeTextFile(temporary, `${JSON.stringify(record)}\n`, 0o644)
  if (temporary === `${home}/${recordFile}`) return
  try {
    rename(temporary, `${home}/${recordFile}`)
  } catch (error) {
    removeFile(temporary)
    throw error
  }
}

/** Undefined for a directory without a record that can be read. */
function readRecord(home: string, name: string): CacheMount | undefined {
  const text = readTextFile(`${home}/${recordFile}`)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return isCacheMount(value, name) ? value : undefined
}

function isCacheMount(value: unknown, name: string): value is CacheMount {
  if (typeof value !== 'object' || value === null) return false
  const record: Partial<Record<keyof CacheMount, unknown>> = value
  const numbers = [record.uid, record.gid, record.mode, record.createdAt, record.usedAt]
  return (
    record.name === name &&
    typeof record.id === 'string' &&
    typeof record.sharing === 'string' &&
    numbers.every((one) => typeof one === 'number')
  )
}
