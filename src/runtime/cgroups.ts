import { listDirectory } from '../linux/directories.ts'
import { SystemCallError } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { enterNewMounts, inMountNamespaceCopy } from '../linux/mount-namespace.ts'
import { bindMount, mountCgroup2, unmount } from '../linux/mounts.ts'
import { removeDirectoryAt } from '../linux/names.ts'

/**
 * How a host's cgroups are mounted: `v2` alone, `v1` controllers alone, `hybrid` (v1 controllers beside a v2 hierarchy
 * without any), or not at all. https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
export type CgroupLayout = 'v2' | 'v1' | 'hybrid' | 'none'

export const cgroupRoot = '/sys/fs/cgroup'

/** The layout below `root`, told by what files are there. */
export function cgroupLayout(root = cgroupRoot): CgroupLayout {
  if (tryStat(`${root}/cgroup.controllers`) !== undefined) return 'v2'
  if (tryStat(`${root}/unified/cgroup.controllers`) !== undefined) return 'hybrid'
  const controllers = ['memory', 'pids', 'cpu', 'devices', 'systemd']
  return controllers.some((name) => tryStat(`${root}/${name}/cgroup.procs`) !== undefined) ? 'v1' : 'none'
}

/** True where the kernel can weigh the disk traffic of cgroups against each other: it is built with BFQ or the older CFQ. */
export function canWeighBlockTraffic(): boolean {
  // Files of BFQ's weights are in cgroups below the root alone, those of its counters in the root, too.
  const v1 = ['blkio/blkio.weight', 'blkio/blkio.bfq.io_serviced']
  return hasHostFile((layout) => (layout === 'v2' ? ['io.cost.qos'] : v1))
}

/** True where the kernel can set processor time aside for real-time processes of a cgroup: of version 1 alone. */
export function canReserveRealtime(): boolean {
  return hasHostFile(() => ['cpu/cpu.rt_period_us'])
}

function hasHostFile(names: (layout: CgroupLayout) => readonly string[]): boolean {
  return withHostCgroups(() => names(cgroupLayout()).some((name) => tryStat(`${cgroupRoot}/${name}`) !== undefined))
}

/** How often and after how many milliseconds a cgroup is tried again whose last process is just going. */
const removalAttempts = 200
const removalPause = 5

/** Removes the cgroup `path` from every hierarchy, where it is there and no process is in it. */
export function removeCgroup(path: string): void {
  withHostCgroups(() => removeFromHierarchies(path))
}

function removeFromHierarchies(path: string): void {
  const hierarchies =
    cgroupLayout() === 'v2' ? [cgroupRoot] : listDirectory(cgroupRoot).map(({ name }) => `${cgroupRoot}/${name}`)
  for (const hierarchy of hierarchies)
    for (let attempt = 0; attempt < removalAttempts && tryStat(`${hierarchy}${path}`) !== undefined; attempt++)
      try {
        removeDirectoryAt(AT_FDCWD, `${hierarchy}${path}`)
      } catch (error) {
        if (!(error instanceof SystemCallError)) throw error
        Bun.sleepSync(removalPause)
      }
}

let isViewChanged = false

/**
 * Makes this process and the children it starts from now on find a v2 hierarchy at /sys/fs/cgroup, whatever the host
 * has there: crun insists on a layout it knows, even for a container that gets no cgroup of its own. The host sees
 * nothing of it, nor does a child that is there already. Once per process; {@link withHostCgroups} does something without it.
 */
export function enterCgroup2View(layout: CgroupLayout): void {
  if (layout === 'v2' || isViewChanged) return
  enterNewMounts()
  if (layout === 'hybrid') bindMount(`${cgroupRoot}/unified`, cgroupRoot)
  else mountCgroup2(cgroupRoot)
  isViewChanged = true
}

/** Calls `action`, a synchronous function, so that it and the children it starts find the host's own cgroups. */
export function withHostCgroups<Result>(action: () => Result): Result {
  if (!isViewChanged) return action()
  return inMountNamespaceCopy(() => unmount(cgroupRoot, { lazy: true }), action)
}
