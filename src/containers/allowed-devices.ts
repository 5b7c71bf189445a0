import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import type { RuntimeDevice } from '../oci/runtime-spec.ts'
import type { AllowedDevice } from '../runtime/spec.ts'
import type { DeviceSetting } from './container.ts'

/**
 * The device files that `--device` asks for, a directory meaning all in it. Throws CONFIG_INVALID, in docker's words,
 * for what is not there or no device.
 */
export function allowedDevices(settings: readonly DeviceSetting[]): AllowedDevice[] {
  return settings.flatMap(({ source, target, access }) => {
    const found = devicesAt(source, target)
    if (found.length === 0)
      throw new CairnError(
        'CONFIG_INVALID',
        `error gathering device information while adding custom device ${JSON.stringify(source)}: no such file or directory`,
      )
    return found.map((device) => ({ ...device, access }))
  })
}

function devicesAt(source: string, target: string): RuntimeDevice[] {
  const status = tryStat(source)
  if (status?.type === 'directory')
    return listDirectory(source).flatMap(({ name }) => devicesAt(`${source}/${name}`, `${target}/${name}`))
  if (status === undefined) return []
  if (status.type !== 'character-device' && status.type !== 'block-device')
    throw new CairnError(
      'CONFIG_INVALID',
      `error gathering device information while adding custom device ${JSON.stringify(source)}: not a device node`,
    )
  const { mode, uid, gid, rdevMajor, rdevMinor } = status
  const type = status.type === 'block-device' ? 'b' : 'c'
  return [{ type, path: target, major: rdevMajor, minor: rdevMinor, fileMode: mode, uid, gid }]
}
