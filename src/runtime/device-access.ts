import { CairnError } from '../errors/error.ts'
import type { RuntimeHook, RuntimeSpec } from '../oci/runtime-spec.ts'
import type { OciRuntime } from './runtime.ts'
import { deviceRules, everyDevice } from './spec.ts'

/**
 * The spec changed so that a container without a cgroup of its own (whose device list would do it) cannot open the
 * host's disks through a device file that it made or that its image brought along:
 *
 * - runc makes a cgroup in any case, so it gets docker's device list.
 * - crun gets no cgroup; containerSpec has made every mount but the root `nodev`, and here the root follows. crun mounts
 *   that anew and drops such flags, so they are set by a hook when it has finished (1.6 ms). The hook also makes a root
 *   read-only that is to be, since crun would drop `nodev` again doing so.
 *
 * CAP_SYS_ADMIN could undo it, so a container that has that is let be. Throws NOT_SUPPORTED without a mount(8).
 */
export function withoutForeignDevices(spec: RuntimeSpec, runtime: OciRuntime, id: string): RuntimeSpec {
  const { root, linux } = spec
  if (linux.cgroupsPath !== undefined) return spec
  const isTrusted = spec.process.capabilities.bounding.includes('CAP_SYS_ADMIN')
  if (runtime.name === 'runc') {
    const resources = { devices: isTrusted ? [everyDevice] : deviceRules() }
    return { ...spec, linux: { ...linux, cgroupsPath: `/cairn-${id}`, resources } }
  }
  if (isTrusted) return spec
  const hook = remountHook(root.path, root.readonly === true ? 'remount,bind,nodev,ro' : 'remount,bind,nodev')
  const createContainer = [...(spec.hooks?.createContainer ?? []), hook]
  return { ...spec, root: { path: root.path }, hooks: { ...spec.hooks, createContainer } }
}

let mountProgram: string | null | undefined

function remountHook(target: string, options: string): RuntimeHook {
  mountProgram ??= Bun.which('mount', { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' })
  if (mountProgram === null)
    throw new CairnError(
      'NOT_SUPPORTED',
      'the mount program, which closes device files to containers, is not installed',
      {
        hint: 'Install it: `apt-get install mount`.',
      },
    )
  return { path: mountProgram, args: ['mount', '-n', '-i', '-o', options, target] }
}
