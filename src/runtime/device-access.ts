import { tryStat } from '../linux/file-status.ts'
import { canChangeMountFlags } from '../linux/mounts.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import type { RuntimeHook, RuntimeMount, RuntimeSpec } from '../oci/runtime-spec.ts'
import type { OciRuntime } from './runtime.ts'
import { deviceRules, everyDevice } from './spec.ts'

/**
 * The spec changed so that a container without a cgroup of its own (whose device list would do it) cannot open the
 * host's disks through a device file that it made or that its image brought along:
 *
 * - runc makes a cgroup in any case, so it gets docker's device list.
 * - crun gets no cgroup; containerSpec has made every mount but the root `nodev`, and here the root follows. crun mounts
 *   that anew and drops such flags, so it is told to set them when it has. A root that is to be read-only becomes so the
 *   same way, since crun would drop `nodev` again making it so.
 *
 * CAP_SYS_ADMIN could undo it, so a container that has that is let be.
 *
 * @param stateDirectory - where the version of crun is remembered
 */
export function withoutForeignDevices(
  spec: RuntimeSpec,
  runtime: OciRuntime,
  id: string,
  stateDirectory: string,
): RuntimeSpec {
  const { root, linux, mounts } = spec
  // In a user namespace nobody makes or opens device files, but for those that the machine gives.
  const isRemapped = linux.namespaces.some(({ type, path }) => type === 'user' && path !== undefined)
  if (linux.cgroupsPath !== undefined || isRemapped || (runtime.name === 'runc' && !inInitialUserNamespace()))
    return spec
  const isTrusted = spec.process.capabilities.bounding.includes('CAP_SYS_ADMIN')
  if (runtime.name === 'runc') {
    const resources = { devices: isTrusted ? [everyDevice] : deviceRules(linux.devices) }
    return { ...spec, linux: { ...linux, cgroupsPath: `/cairn-${id}`, resources } }
  }
  if (isTrusted) return spec
  // A root made read-only by the first mount could not be given the mount points of the others.
  if (root.readonly !== true && takesRecursiveFlags(runtime, stateDirectory))
    return { ...spec, mounts: [rootFlags, ...mounts] }
  const hook = remountHook(root.path, root.readonly === true ? 'remount,bind,nodev,ro' : 'remount,bind,nodev')
  const createContainer = [...(spec.hooks?.createContainer ?? []), hook]
  return { ...spec, root: { path: root.path }, hooks: { ...spec.hooks, createContainer } }
}

/**
 * For crun a mount of no type mounts nothing, and `rnodev` is an mount_setattr(2) on the mount at the destination. Costs
 * a system call where a hook costs two processes.
 */
const rootFlags: RuntimeMount = { destination: '/.', type: '', source: 'none', options: ['rnodev'] }

const known = new Map<string, boolean>()

/** True for crun 1.4 and later, which know recursive mount options, on Linux 5.12 and later. Asks crun once for ever. */
function takesRecursiveFlags({ path }: OciRuntime, stateDirectory: string): boolean {
  const remembered = known.get(path)
  if (remembered !== undefined) return remembered
  const status = tryStat(path)
  const identity = `${path} ${status?.size} ${status?.mtimeSeconds} ${status?.inode}\n`
  const file = `${stateDirectory}/crun-version`
  let text = readTextFile(file)
  if (text?.startsWith(identity) !== true) {
    text = identity + Bun.spawnSync([path, '--version'], { stdin: 'ignore', stderr: 'ignore' }).stdout.toString()
    writeTextFile(file, text)
  }
  const [, major = '0', minor = '0'] = /^crun version (\d+)\.(\d+)/m.exec(text) ?? []
  const taken = (Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 4)) && canChangeMountFlags()
  known.set(path, taken)
  return taken
}

/**
 * A hook that mounts `target` again with other options, when crun has made all mounts and before it enters the root. It
 * reads what crun writes to it: crun takes a hook that is gone before it has finished writing for a failed one.
 */
function remountHook(target: string, options: string): RuntimeHook {
  const script = 'cat >/dev/null; exec mount -n -i -o "$1" "$2"'
  return {
    path: '/bin/sh',
    args: ['sh', '-c', script, 'sh', options, target],
    env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
  }
}
