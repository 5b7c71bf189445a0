import { readIdMap } from '../linux/user-namespace.ts'
import type { RuntimeMount, RuntimeSpec } from '../oci/runtime-spec.ts'

/**
 * The spec changed so that a runtime can carry it out in a user namespace: file systems that show a namespace may be mounted
 * only by who owns that, so where the container shares one of the machine's it gets what the machine has mounted.
 */
export function withoutRoot(spec: RuntimeSpec): RuntimeSpec {
  const own = new Set(spec.linux.namespaces.map(({ type }) => type))
  const shown = [
    ['/proc', 'proc', 'pid'],
    ['/sys', 'sysfs', 'network'],
    ['/dev/mqueue', 'mqueue', 'ipc'],
  ] as const
  const mounts = spec.mounts.map((mount): RuntimeMount => {
    const isForeign = shown.some(([path, type, namespace]) => {
      return mount.destination === path && mount.type === type && !own.has(namespace)
    })
    if (isForeign)
      return { ...mount, type: 'bind', source: mount.destination, options: ['rbind', ...(mount.options ?? [])] }
    if (mount.type === 'devpts') return { ...mount, options: (mount.options ?? []).filter(isMapped) }
    return mount
  })
  return { ...spec, mounts }
}

/** False for the option `gid=` with a group that this user namespace does not have. */
function isMapped(option: string): boolean {
  const gid = /^gid=(\d+)$/.exec(option)?.[1]
  if (gid === undefined) return true
  return readIdMap('gid').some(({ inside, length }) => Number(gid) >= inside && Number(gid) < inside + length)
}
