import { recordEvent } from '../content/events.ts'
import { withLock } from '../content/lock.ts'
import { moveDirectoryAway, type RecordedArea } from '../content/removal.ts'
import type { Store } from '../content/store.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree } from '../layers/tree.ts'
import { listDirectory } from '../linux/directories.ts'
import { errno, isErrno } from '../linux/errno.ts'
import { tryLstat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { changeModeAt, makeDirectories, rename } from '../linux/names.ts'
import { copyTree } from '../snapshots/copy-tree.ts'
import type { MountSetting } from './container.ts'

/**
 * Volumes: directories `volumes/<name>/_data` that outlive containers. One without a name of its own goes with its
 * container where that is removed with its volumes.
 */
export type VolumeMount = Extract<MountSetting, { type: 'volume' }>

/** Records the volumes of a new container; those that are there already are only used. To be called in a transaction. */
export function recordVolumes(store: Store, containerId: string, mounts: readonly VolumeMount[]): void {
  for (const { name, anonymous, labels = {} } of mounts) {
    const values = [name, anonymous ? 1 : 0, JSON.stringify(labels), Date.now()]
    if (store.database.run('INSERT OR IGNORE INTO volumes VALUES (?, ?, ?, ?)', ...values) > 0)
      recordEvent(store, 'volume', 'create', name, { driver: 'local' })
    store.database.run('INSERT OR IGNORE INTO container_volumes VALUES (?, ?)', containerId, name)
  }
}

/**
 * The directory of a volume, made where it is not there. One that is empty gets what the image has at the mount's
 * target, unless another running container sees it already.
 *
 * @param tree - the image's root file system
 */
export async function openVolume(
  store: Store,
  containerId: string,
  mount: VolumeMount,
  tree: Tree,
  signal?: AbortSignal,
): Promise<string> {
  const home = store.path('volumes', mount.name)
  const data = `${home}/_data`
  if (tryLstat(data) !== undefined && (!mount.copy || listDirectory(data).length > 0)) return data
  await withLock(store, `volume ${mount.name}`, signal === undefined ? {} : { signal }, () => {
    makeDirectory(home, 0o711)
    const isNew = tryLstat(data) === undefined
    const source = mount.copy ? imageDirectory(tree, mount.target) : undefined
    if (source !== undefined && (isNew || !isInUse(store, containerId, mount.name))) fill(store, tree, source, data)
    else if (isNew) makeDirectory(data, 0o755)
  })
  return data
}

function makeDirectory(path: string, mode: number): void {
  makeDirectories(path)
  changeModeAt(AT_FDCWD, path, mode)
}

function imageDirectory(tree: Tree, target: string): string | undefined {
  const path = resolvePath(tree, target, { followLast: true })
  return tree.lookup(path)?.type === 'directory' ? path : undefined
}

function isInUse(store: Store, containerId: string, name: string): boolean {
  const user = store.database.one(
    `SELECT 1 FROM container_volumes JOIN containers ON containers.id = container
     WHERE volume = ? AND state IN ('running', 'paused') AND container <> ?`,
    name,
    containerId,
  )
  return user !== undefined
}

/** All at once: what is not finished when the process dies is never seen. */
function fill(store: Store, tree: Tree, source: string, data: string): void {
  const copy = store.session.temporaryPath('volume')
  makeDirectories(copy, 0o700)
  copyTree(tree, source, copy)
  try {
    rename(copy, data)
  } catch (error) {
    // Somebody put something into it meanwhile: it is no longer empty and stays as it is.
    if (!isErrno(error, errno.ENOTEMPTY)) throw error
  }
}

/**
 * Forgets the volumes without a name of their own that only `containerId` uses, and moves their directories to where
 * the caller removes them. To be called in the transaction that forgets the container, before it does.
 *
 * @returns the moved directories
 */
export function releaseAnonymousVolumes(store: Store, containerId: string): string[] {
  const names = store.database.all<{ volume: string }>(
    `SELECT volume FROM container_volumes AS own JOIN volumes ON name = volume
     WHERE container = ? AND anonymous = 1
     AND NOT EXISTS (SELECT 1 FROM container_volumes WHERE volume = own.volume AND container <> own.container)`,
    containerId,
  )
  return names.flatMap(({ volume }) => {
    store.database.run('DELETE FROM container_volumes WHERE volume = ?', volume)
    store.database.run('DELETE FROM volumes WHERE name = ?', volume)
    recordEvent(store, 'volume', 'destroy', volume, { driver: 'local' })
    return moveAway(store, 'volumes', volume)
  })
}

/** Moves a directory of a container or volume to where it is removed; it is put back if the transaction is undone. */
export function moveAway(store: Store, area: RecordedArea, name: string): string[] {
  const target = moveDirectoryAway(store, area, name)
  return target === undefined ? [] : [target]
}
