import { parseDeviceRule } from '../../containers/allowed-devices.ts'
import type { DeviceSetting, DeviceWeightSetting, ThrottleSetting } from '../../containers/container.ts'
import { CairnError } from '../../errors/error.ts'
import type { ThrottleKind } from '../../runtime/spec.ts'
import { invalidArgument } from '../flag-argument.ts'
import type { FlagDefinitions, FlagValues } from '../flags.ts'
import { parseByteSize } from '../units.ts'

/** What of the host's devices a container may use, and how fast. */
export const deviceFlags = {
  'blkio-weight-device': {
    type: 'stringArray',
    value: 'list',
    summary: 'Block IO weight (relative device weight)',
  },
  device: { type: 'stringArray', value: 'list', summary: 'Add a host device to the container' },
  'device-cgroup-rule': {
    type: 'stringArray',
    value: 'list',
    summary: 'Add a rule to the cgroup allowed devices list',
  },
  'device-read-bps': {
    type: 'stringArray',
    value: 'list',
    summary: 'Limit read rate (bytes per second) from a device',
  },
  'device-read-iops': {
    type: 'stringArray',
    value: 'list',
    summary: 'Limit read rate (IO per second) from a device',
  },
  'device-write-bps': {
    type: 'stringArray',
    value: 'list',
    summary: 'Limit write rate (bytes per second) to a device',
  },
  'device-write-iops': {
    type: 'stringArray',
    value: 'list',
    summary: 'Limit write rate (IO per second) to a device',
  },
} as const satisfies FlagDefinitions

const throttleFlags = {
  'device-read-bps': 'ReadBps',
  'device-write-bps': 'WriteBps',
  'device-read-iops': 'ReadIOPS',
  'device-write-iops': 'WriteIOPS',
} as const satisfies Readonly<Record<string, ThrottleKind>>

/** The flags `--device-read-bps` and their like; undefined where there are none. Throws USAGE, in docker's words. */
export function parseThrottles(flags: FlagValues<typeof deviceFlags>): readonly ThrottleSetting[] | undefined {
  const names = Object.keys(throttleFlags) as (keyof typeof throttleFlags)[]
  const throttles = names.flatMap((name) => flags[name].map((text) => parseThrottle(name, text)))
  return throttles.length === 0 ? undefined : throttles
}

/** `--blkio-weight-device`; undefined where there are none. Throws USAGE, in docker's words. */
export function parseDeviceWeights(given: readonly string[]): readonly DeviceWeightSetting[] | undefined {
  const weights = given.map((text) => {
    const colon = text.indexOf(':')
    const wrong = (reason: string): CairnError => invalidArgument(text, '--blkio-weight-device', reason)
    if (colon < 0) throw wrong(`bad format: ${text}`)
    const path = text.slice(0, colon)
    if (!path.startsWith('/dev/')) throw wrong(`bad format for device path: ${text}`)
    const number = text.slice(colon + 1)
    const weight = /^\d{1,4}$/.test(number) ? Number(number) : undefined
    if (weight === undefined || (weight > 0 && weight < 10) || weight > 1000)
      throw wrong(`invalid weight for device: ${text}`)
    return { path, weight }
  })
  return weights.length === 0 ? undefined : weights
}

function parseThrottle(flag: keyof typeof throttleFlags, text: string): ThrottleSetting {
  const colon = text.indexOf(':')
  const wrong = (reason: string): CairnError => invalidArgument(text, `--${flag}`, reason)
  if (colon < 0) throw wrong(`bad format: ${text}`)
  const path = text.slice(0, colon)
  if (!path.startsWith('/dev/')) throw wrong(`bad format for device path: ${text}`)
  const isBytes = flag.endsWith('bps')
  const rate = readRate(text.slice(colon + 1), isBytes)
  if (rate === undefined)
    throw wrong(
      isBytes
        ? `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`
        : `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    )
  return { kind: throttleFlags[flag], path, rate }
}

function readRate(text: string, isBytes: boolean): number | undefined {
  if (!isBytes) return /^\d{1,15}$/.test(text) ? Number(text) : undefined
  try {
    return parseByteSize(text)
  } catch {
    return undefined
  }
}

/** `--device-cgroup-rule`; undefined where there are none. Throws USAGE, in docker's words. */
export function parseDeviceRules(given: readonly string[]): readonly string[] | undefined {
  for (const text of given)
    if (parseDeviceRule(text) === undefined)
      throw invalidArgument(text, '--device-cgroup-rule', `invalid device cgroup format '${text}'`)
  return given.length === 0 ? undefined : given
}

/** `--device`: `source[:target][:access]`. Throws USAGE. */
export function parseDevice(text: string): DeviceSetting {
  const [source = '', second, third, ...more] = text.split(':')
  const isAccess = (part: string): boolean => /^[rwm]+$/.test(part) && new Set(part).size === part.length
  const wrong = (reason: string): CairnError => new CairnError('USAGE', reason)
  if (source === '' || more.length > 0) throw wrong(`bad format for path: ${text}`)
  if (third !== undefined && !isAccess(third)) throw wrong(`bad mode specified: ${third}`)
  if (second !== undefined && second !== '' && !second.startsWith('/') && !isAccess(second))
    throw wrong(`${second} is not an absolute path`)
  if (!source.startsWith('/')) throw wrong(`${source} is not an absolute path`)
  if (second !== undefined && isAccess(second) && third === undefined) return { source, target: source, access: second }
  return { source, target: second === undefined || second === '' ? source : second, access: third ?? 'rwm' }
}
