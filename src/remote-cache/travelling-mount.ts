import { type CacheMountIdentity, cacheMountName } from '../content/cache-mounts.ts'
import type { Op, RunOp } from '../build/graph.ts'
import type { Descriptor } from '../oci/descriptor.ts'

/** Media type of a cache mount's files in a cache: a tar, compressed with zstd. */
export const mountType = 'application/vnd.cairn.cache.mount.v1.tar+zstd'

const prefix = 'vnd.cairn.mount.'

/** A cache mount that travels: one that begins empty, so that its identity is all there is to know. */
export interface TravellingMount {
  readonly name: string
  readonly identity: CacheMountIdentity
}

/** The cache mounts of a step that can travel. */
export function travellingMounts({ mounts }: RunOp): readonly TravellingMount[] {
  return mounts.flatMap((mount) => {
    if (mount.type !== 'cache' || mount.source !== undefined) return []
    const { id, uid = 0, gid = 0, mode = 0o755 } = mount
    const identity = { id, uid, gid, mode }
    return [{ name: cacheMountName(identity), identity }]
  })
}

/** The same of all steps, each once, in the order of their names. */
export function travellingMountsOf(ops: readonly Op[]): readonly TravellingMount[] {
  const found = ops.flatMap((op) => (op.kind === 'run' ? travellingMounts(op) : []))
  return [...new Map(found.map((mount) => [mount.name, mount])).values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** What the descriptor of a cache mount says of it. */
export function mountAnnotations({ identity }: TravellingMount): Readonly<Record<string, string>> {
  const { id, uid, gid, mode } = identity
  return {
    [`${prefix}id`]: id,
    [`${prefix}uid`]: String(uid),
    [`${prefix}gid`]: String(gid),
    [`${prefix}mode`]: mode.toString(8),
  }
}

/** The cache mount that a blob of a cache has the files of; undefined for other blobs, and for annotations of no sense. */
export function mountOfBlob({ mediaType, annotations = {} }: Descriptor): TravellingMount | undefined {
  if (mediaType !== mountType) return undefined
  const [id, uid, gid, mode] = ['id', 'uid', 'gid', 'mode'].map((name) => annotations[`${prefix}${name}`] ?? '')
  if (id === undefined || id === '' || id.length > 4096) return undefined
  if (!/^\d{1,10}$/.test(uid ?? '') || !/^\d{1,10}$/.test(gid ?? '') || !/^[0-7]{1,4}$/.test(mode ?? ''))
    return undefined
  const identity = { id, uid: Number(uid), gid: Number(gid), mode: Number.parseInt(mode ?? '', 8) }
  return { name: cacheMountName(identity), identity }
}
