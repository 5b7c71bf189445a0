import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import type { RuntimeDevice, RuntimeDeviceRule, RuntimeDeviceWeight } from '../oci/runtime-spec.ts'
import type { AllowedDevice, CgroupOptions } from '../runtime/spec.ts'
import type { DeviceSetting, DeviceWeightSetting, ThrottleSetting } from './container.ts'

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

/** The throttles with the numbers of their devices. Throws CONFIG_INVALID for what is not there or no disk. */
export function deviceThrottles(settings: readonly ThrottleSetting[]): NonNullable<CgroupOptions['throttles']> {
  return settings.flatMap(({ kind, path, rate }) => {
    const device = blockDevice(path)
    return rate === 0 ? [] : [{ kind, rate, ...device }]
  })
}

/** The weights with the numbers of their devices. Throws as {@link deviceThrottles}. */
export function deviceWeights(settings: readonly DeviceWeightSetting[]): RuntimeDeviceWeight[] {
  return settings.flatMap(({ path, weight }) => {
    const device = blockDevice(path)
    return weight === 0 ? [] : [{ weight, ...device }]
  })
}

function blockDevice(path: string): { readonly major: number; readonly minor: number } {
  const status = tryStat(path)
  if (status?.type === 'block-device') return { major: status.rdevMajor, minor: status.rdevMinor }
  throw new CairnError(
    'CONFIG_INVALID',
    `cannot limit the device ${path}: it is ${status === undefined ? 'not there' : 'no block device'}`,
  )
}

/** A rule of `--device-cgroup-rule`: `a|b|c MAJOR:MINOR ACCESS`, with `*` for any number. Undefined for what is none. */
export function parseDeviceRule(text: string): RuntimeDeviceRule | undefined {
  const [, type, major, minor, access] = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text) ?? []
  if (access === undefined) return undefined
  return {
    allow: true,
    type: type as 'a' | 'b' | 'c',
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  }
}
