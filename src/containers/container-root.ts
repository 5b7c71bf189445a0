import { acquireLease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { storedImage } from '../images/image.ts'
import { SystemCallError } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { close, open, openAt2, openFlags, resolveFlags } from '../linux/files.ts'
import { enterPrivateMounts } from '../linux/mount-namespace.ts'
import { bindMount, unmount } from '../linux/mounts.ts'
import { makeDirectories } from '../linux/names.ts'
import { mountOverlay } from '../linux/overlay.ts'
import type { Tree } from '../layers/tree.ts'
import { mountPoints } from '../snapshots/mount-points.ts'
import { Snapshots } from '../snapshots/snapshots.ts'
import type { Container } from './container.ts'
import { findInit } from './init-process.ts'
import { containerDirectory } from './places.ts'
import { snapshotOf } from './start-monitored.ts'
import type { UserMapping } from './user-mapping.ts'
import { openVolume } from './volumes.ts'

/** The files of a container as it sees them itself, mounts included. */
export interface ContainerRoot extends Disposable {
  /** File descriptor of the root directory. What is inside is the container's, so paths in it lead anywhere. */
  readonly fd: number
  /** Owners of its files are seen as the machine has them, by this mapping. */
  readonly mapping?: UserMapping
}

/**
 * Opens the files of a container: of one that runs those of its first process, of any other its layers and volumes,
 * mounted for this thread alone. Throws OVERLAY_UNSUPPORTED, NOT_ROOT.
 */
export async function openContainerRoot(store: Store, container: Container): Promise<ContainerRoot> {
  const init = findInit(store, container.id)
  if (init !== undefined) {
    const fd = open(`/proc/${init.pid}/root`, openFlags.O_PATH | openFlags.O_DIRECTORY)
    const { userns } = container.settings
    const mapping = userns === undefined || userns === 'host' ? {} : { mapping: userns }
    return { fd, ...mapping, [Symbol.dispose]: () => close(fd) }
  }
  const lease = acquireLease(store)
  const { value: image } = await storedImage(store, container.settings.manifest).config()
  const layers = image.rootfs.diff_ids.map((diffId) => ({ diffId, directory: undefined }))
  const snapshots = new Snapshots(store, lease)
  const lowers = await snapshots.directories(layers)
  const tree = await snapshots.tree(layers)
  const mounts = await openMounts(store, container, tree)
  const files = new Set(mounts.filter(({ isFile }) => isFile).map((mount) => mount.target))
  const places = mounts.map((mount) => mount.target)
  const points = mountPoints(tree, places, store.session.temporaryPath('points'), files)
  const { upper, work, merged: target } = snapshotOf(store, container)
  makeDirectories(target)
  enterPrivateMounts()
  mountOverlay({ lowers: points === undefined ? lowers : [points, ...lowers], upper, work, target, nodev: true })
  const fd = open(target, openFlags.O_PATH | openFlags.O_DIRECTORY)
  for (const mount of mounts) mountInside(fd, mount)
  return {
    fd,
    [Symbol.dispose]: () => {
      close(fd)
      unmount(target, { lazy: true })
      lease.release()
    },
  }
}

interface OpenedMount {
  readonly source: string
  readonly target: string
  readonly isFile: boolean
}

async function openMounts(store: Store, { id, settings }: Container, tree: Tree): Promise<OpenedMount[]> {
  const opened: OpenedMount[] = []
  for (const mount of settings.mounts) {
    if (mount.type === 'tmpfs') continue
    // oxlint-disable-next-line no-await-in-loop -- each waits for a lock of its own
    const source = mount.type === 'bind' ? mount.source : await openVolume(store, id, mount, tree)
    const status = tryStat(source)
    if (status !== undefined) opened.push({ source, target: mount.target, isFile: status.type !== 'directory' })
  }
  opened.push(...networkFiles(store, id, opened))
  return opened
}

/** The files of its network as they were when it ran last. */
function networkFiles(store: Store, id: string, mounts: readonly OpenedMount[]): OpenedMount[] {
  return ['hostname', 'hosts', 'resolv.conf'].flatMap((name) => {
    const [source, target] = [`${containerDirectory(store, id)}/${name}`, `/etc/${name}`]
    const isTaken = mounts.some((mount) => mount.target === target)
    return isTaken || tryStat(source) === undefined ? [] : [{ source, target, isFile: true }]
  })
}

/** By a descriptor, since the place is the container's: no symlink in it leads out. */
function mountInside(root: number, { source, target }: OpenedMount): void {
  const place = openAt2(root, target, openFlags.O_PATH, resolveFlags.IN_ROOT | resolveFlags.NO_MAGICLINKS)
  if (place < 0) throw new SystemCallError('openat2', -place, target)
  try {
    bindMount(source, `/proc/self/fd/${place}`)
  } finally {
    close(place)
  }
}
