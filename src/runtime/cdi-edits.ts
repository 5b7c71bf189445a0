import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { mountTmpfs } from '../linux/mounts.ts'
import { changeModeAt, changeOwnerAt, makeDirectories, makeNodeAt } from '../linux/names.ts'
import type { RuntimeDevice, RuntimeHook, RuntimeMount, RuntimeSpec } from '../oci/runtime-spec.ts'
import type { CdiDevice } from './cdi.ts'
import type { ContainerEdits, DeviceNode } from './cdi-spec.ts'

/**
 * The spec with what these devices ask for: variables, device files, mounts, hooks (which the runtime runs), groups.
 * Device files are made in `directory`, a tmpfs that is mounted there, and bound into the container: so they are the
 * only ones that can be opened where every other mount is `nodev`. Throws STEP_INVALID for a device that the host lacks.
 *
 * @param directory - made here; mounted where the result's `isMounted` says so, the caller unmounts it
 */
export function withDevices(
  spec: RuntimeSpec,
  devices: readonly CdiDevice[],
  directory: string,
): { readonly spec: RuntimeSpec; readonly isMounted: boolean } {
  const edits = [...new Set(devices.flatMap((device) => device.edits))]
  const { user } = spec.process
  const nodes = edits.flatMap(({ deviceNodes }) => deviceNodes.map((node) => hostDevice(node, user)))
  const bound = nodes.map((device, index) => boundNode(device, `${directory}/${index}`))
  if (nodes.length > 0) {
    makeDirectories(directory, 0o700)
    mountTmpfs(directory, { devices: true })
    for (const [index, device] of nodes.entries()) makeNode(device, `${directory}/${index}`)
  }
  const gids = edits.flatMap(({ additionalGids }) => additionalGids).filter((gid) => gid !== 0)
  return {
    isMounted: nodes.length > 0,
    spec: {
      ...spec,
      process: {
        ...spec.process,
        env: [
          ...new Map(
            [...spec.process.env, ...edits.flatMap(({ env }) => env)].map((entry) => [keyOf(entry), entry]),
          ).values(),
        ],
        user: { ...user, additionalGids: [...new Set([...(user.additionalGids ?? []), ...gids])] },
      },
      mounts: [...spec.mounts, ...bound, ...edits.flatMap(mountsOf)],
      linux: { ...spec.linux, devices: [...(spec.linux.devices ?? []), ...nodes] },
      ...withHooks(spec, edits),
    },
  }
}

function keyOf(entry: string): string {
  return entry.slice(0, entry.indexOf('='))
}

const kinds = { 'block-device': 'b', 'character-device': 'c', fifo: 'p' } as const

/** Type and numbers, where the specification has none, are those of the host's file; the owner is the container's user. */
function hostDevice(node: DeviceNode, user: { readonly uid: number; readonly gid: number }): RuntimeDevice {
  const { path, fileMode } = node
  let { type, major, minor } = node
  if (type === undefined || (type !== 'p' && (major === undefined || minor === undefined))) {
    const hostPath = node.hostPath ?? path
    const status = tryStat(hostPath)
    const found = status === undefined ? undefined : kinds[status.type as keyof typeof kinds]
    if (status === undefined || found === undefined)
      throw new CairnError('STEP_INVALID', `CDI device injection failed: ${hostPath} is no device file of this machine`)
    type ??= found
    major ??= status.rdevMajor
    minor ??= status.rdevMinor
  }
  const uid = node.uid ?? (user.uid > 0 ? user.uid : undefined)
  const gid = node.gid ?? (user.gid > 0 ? user.gid : undefined)
  return {
    type,
    path,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
    ...(fileMode === undefined ? {} : { fileMode: fileMode & 0o777 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

const types = { b: 'block-device', c: 'character-device', u: 'character-device', p: 'fifo' } as const

function makeNode(
  { type, major = 0, minor = 0, fileMode = 0o666, uid = 0, gid = 0 }: RuntimeDevice,
  path: string,
): void {
  makeNodeAt(AT_FDCWD, path, types[type], fileMode, major, minor)
  changeOwnerAt(AT_FDCWD, path, uid, gid)
  changeModeAt(AT_FDCWD, path, fileMode)
}

function boundNode({ path }: RuntimeDevice, source: string): RuntimeMount {
  return { destination: path, type: 'bind', source, options: ['bind', 'nosuid', 'noexec'] }
}

function mountsOf({ mounts }: ContainerEdits): RuntimeMount[] {
  return mounts.map(({ hostPath, containerPath, type, options }) => {
    const isBind = options.includes('bind') || options.includes('rbind')
    const kind = type ?? (isBind || options.length === 0 ? 'bind' : undefined)
    return {
      destination: containerPath,
      source: hostPath,
      options: kind === 'bind' && !isBind ? ['bind', ...options] : options,
      ...(kind === undefined ? {} : { type: kind }),
    }
  })
}

function withHooks(spec: RuntimeSpec, edits: readonly ContainerEdits[]): Pick<RuntimeSpec, 'hooks'> {
  const all = edits.flatMap(({ hooks }) => hooks)
  if (all.length === 0) return {}
  const hooks: Partial<Record<keyof NonNullable<RuntimeSpec['hooks']>, RuntimeHook[]>> = {}
  for (const [name, list] of Object.entries(spec.hooks ?? {})) hooks[name as keyof typeof hooks] = [...list]
  for (const { hookName, ...hook } of all) (hooks[hookName] ??= []).push(hook)
  return { hooks }
}
