import { CairnError } from '../errors/error.ts'

/**
 * One file of the Container Device Interface: what a container needs to use a vendor's devices.
 * https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
 */
export interface CdiSpec {
  /** `vendor.example/class`. */
  readonly kind: string
  readonly annotations: Readonly<Record<string, string>>
  readonly devices: readonly CdiSpecDevice[]
  /** Made for every device of the file. */
  readonly edits: ContainerEdits
}

export interface CdiSpecDevice {
  readonly name: string
  readonly annotations: Readonly<Record<string, string>>
  readonly edits: ContainerEdits
}

/** Changes to a container. */
export interface ContainerEdits {
  /** `KEY=value`. */
  readonly env: readonly string[]
  readonly deviceNodes: readonly DeviceNode[]
  readonly mounts: readonly CdiMount[]
  readonly hooks: readonly CdiHook[]
  readonly additionalGids: readonly number[]
}

/** A device file; what is left out is as that of the host is. */
export interface DeviceNode {
  readonly path: string
  readonly hostPath?: string
  readonly type?: 'b' | 'c' | 'p' | 'u'
  readonly major?: number
  readonly minor?: number
  readonly fileMode?: number
  /** Some of `rwm`. */
  readonly permissions?: string
  readonly uid?: number
  readonly gid?: number
}

export interface CdiMount {
  readonly hostPath: string
  readonly containerPath: string
  readonly type?: string
  readonly options: readonly string[]
}

/** The hooks of a runtime by the names of the runtime specification. */
export const hookNames = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const

export interface CdiHook {
  readonly hookName: (typeof hookNames)[number]
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  readonly timeout?: number
}

const vendorPattern = /^[A-Za-z][\w.-]*[A-Za-z0-9]$|^[A-Za-z]$/
const classPattern = /^[A-Za-z][\w-]*[A-Za-z0-9]$|^[A-Za-z]$/
const devicePattern = /^[A-Za-z0-9][\w.:-]*$/

/** Reads a specification that was parsed from JSON or YAML. Throws CONFIG_INVALID, naming the field. */
export function parseCdiSpec(value: unknown): CdiSpec {
  const spec = record(value, 'the specification')
  if (typeof spec['cdiVersion'] !== 'string') throw wrong('cdiVersion', 'a version')
  const kind = text(spec['kind'], 'kind')
  const [vendor = '', name = '', ...rest] = kind.split('/')
  if (!vendorPattern.test(vendor) || !classPattern.test(name) || rest.length > 0) throw wrong('kind', 'VENDOR/CLASS')
  const devices = list(spec['devices'], 'devices').map((item, index) => parseDevice(item, `devices[${index}]`))
  if (devices.length === 0) throw wrong('devices', 'a list of one device or more')
  const twice = devices.find((device, index) => devices.findIndex((other) => other.name === device.name) < index)
  if (twice !== undefined) throw new CairnError('CONFIG_INVALID', `the device ${twice.name} is there twice`)
  return {
    kind,
    annotations: texts(spec['annotations'], 'annotations'),
    devices,
    edits: parseEdits(spec['containerEdits'], 'containerEdits'),
  }
}

function parseDevice(value: unknown, at: string): CdiSpecDevice {
  const device = record(value, at)
  const name = text(device['name'], `${at}.name`)
  if (!devicePattern.test(name)) throw wrong(`${at}.name`, 'the name of a device')
  return {
    name,
    annotations: texts(device['annotations'], `${at}.annotations`),
    edits: parseEdits(device['containerEdits'], `${at}.containerEdits`),
  }
}

function parseEdits(value: unknown, at: string): ContainerEdits {
  const edits = value === undefined ? {} : record(value, at)
  const items = (field: string): [unknown, string][] =>
    list(edits[field], `${at}.${field}`).map((item, index) => [item, `${at}.${field}[${index}]`])
  return {
    env: items('env').map(([item, where]) => {
      const entry = text(item, where)
      if (entry.indexOf('=') < 1) throw wrong(where, 'KEY=value')
      return entry
    }),
    deviceNodes: items('deviceNodes').map(([item, where]) => parseNode(item, where)),
    mounts: items('mounts').map(([item, where]) => {
      const mount = record(item, where)
      return {
        hostPath: text(mount['hostPath'], `${where}.hostPath`),
        containerPath: absolute(mount['containerPath'], `${where}.containerPath`),
        ...(mount['type'] === undefined ? {} : { type: text(mount['type'], `${where}.type`) }),
        options: list(mount['options'], `${where}.options`).map((option) => text(option, `${where}.options`)),
      }
    }),
    hooks: items('hooks').map(([item, where]) => parseHook(item, where)),
    additionalGids: items('additionalGids').map(([item, where]) => natural(item, where)),
  }
}

function parseNode(value: unknown, at: string): DeviceNode {
  const node = record(value, at)
  const numbers = Object.fromEntries(
    (['major', 'minor', 'fileMode', 'uid', 'gid'] as const).flatMap((field) =>
      node[field] === undefined ? [] : [[field, natural(node[field], `${at}.${field}`)]],
    ),
  )
  const type = node['type'] === undefined || node['type'] === '' ? undefined : text(node['type'], `${at}.type`)
  if (type !== undefined && type !== 'b' && type !== 'c' && type !== 'p' && type !== 'u')
    throw wrong(`${at}.type`, 'one of b, c, u, p')
  const permissions = node['permissions'] === undefined ? undefined : text(node['permissions'], `${at}.permissions`)
  if (permissions !== undefined && !/^[rwm]*$/.test(permissions)) throw wrong(`${at}.permissions`, 'some of rwm')
  return {
    path: absolute(node['path'], `${at}.path`),
    ...(node['hostPath'] === undefined ? {} : { hostPath: absolute(node['hostPath'], `${at}.hostPath`) }),
    ...(type === undefined ? {} : { type }),
    ...(permissions === undefined ? {} : { permissions }),
    ...numbers,
  }
}

function parseHook(value: unknown, at: string): CdiHook {
  const hook = record(value, at)
  const name = text(hook['hookName'], `${at}.hookName`)
  const hookName = hookNames.find((known) => known === name)
  if (hookName === undefined) throw wrong(`${at}.hookName`, `one of ${hookNames.join(', ')}`)
  const strings = (field: 'args' | 'env'): Partial<Record<'args' | 'env', string[]>> =>
    hook[field] === undefined
      ? {}
      : { [field]: list(hook[field], `${at}.${field}`).map((item) => text(item, `${at}.${field}`)) }
  return {
    hookName,
    path: absolute(hook['path'], `${at}.path`),
    ...strings('args'),
    ...strings('env'),
    ...(hook['timeout'] === undefined ? {} : { timeout: natural(hook['timeout'], `${at}.timeout`) }),
  }
}

function record(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'a map')
  return value as Readonly<Record<string, unknown>>
}

function list(value: unknown, at: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw wrong(at, 'a list')
  return value
}

function text(value: unknown, at: string): string {
  if (typeof value !== 'string') throw wrong(at, 'text')
  return value
}

function texts(value: unknown, at: string): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {}
  return Object.fromEntries(Object.entries(record(value, at)).map(([key, item]) => [key, text(item, `${at}.${key}`)]))
}

function absolute(value: unknown, at: string): string {
  const path = text(value, at)
  if (!path.startsWith('/')) throw wrong(at, 'an absolute path')
  return path
}

function natural(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(at, 'a number from 0')
  return value
}

function wrong(at: string, expected: string): CairnError {
  return new CairnError('CONFIG_INVALID', `${at} is not ${expected}`)
}
