import { csvPairs } from '../../dockerfile/csv.ts'
import type { RunDevice } from '../../dockerfile/device.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import type { DeviceRegistry } from '../../runtime/cdi.ts'

/** The entitlements that `--allow` knows. */
const entitlements = new Set(['network.host', 'security.insecure', 'device'])

/** Entitlement of buildx's own; nothing here needs it. */
const localDelete = 'buildx.local.delete'

/**
 * Values of `--allow`: `network.host`, `security.insecure`, `device`, `device=NAME[,alias=NAME]`. Throws USAGE (status
 * 1) in BuildKit's words.
 */
export function parseEntitlements(given: readonly string[]): Set<string> {
  const allowed = new Set<string>()
  for (const text of given) {
    const [name = ''] = text.split('=', 1)
    if (text === '' || text === localDelete) continue
    if (name === 'device') deviceGrant(text)
    else if (!entitlements.has(text)) throw usageError(`unknown entitlement ${text}`)
    allowed.add(text)
  }
  return allowed
}

interface DeviceGrant {
  readonly name: string
  /** What the Dockerfile calls it. */
  readonly alias: string | undefined
}

/** Undefined for plain `device`, which grants all. */
function deviceGrant(text: string): DeviceGrant | undefined {
  const value = text === 'device' ? '' : text.slice('device='.length)
  if (value === '') return undefined
  const [name, ...pairs] = csvPairs(value, usageError)
  let alias: string | undefined
  for (const { field, key, value: written } of pairs) {
    if (written === undefined) throw usageError(`invalid device config ${JSON.stringify(field)}`)
    if (key !== 'alias') throw usageError(`unknown device config key ${JSON.stringify(key)}`)
    alias = written
  }
  return { name: name?.field ?? '', alias: alias === '' ? undefined : alias }
}

/**
 * The full names of the CDI devices that a step gets. Throws STEP_INVALID in BuildKit's words where one is not there or
 * not allowed; devices whose specification says so need no leave.
 */
export function findDevices(
  registry: DeviceRegistry,
  allow: ReadonlySet<string>,
  wanted: readonly RunDevice[],
): readonly string[] {
  const grants = [...allow].filter((text) => /^device(?:=|$)/.test(text)).map(deviceGrant)
  if (grants.includes(undefined)) return registry.find(wanted)
  const aliases = new Map(grants.flatMap((grant) => (grant?.alias === undefined ? [] : [[grant.alias, grant.name]])))
  const named = wanted.map((device) => ({ ...device, name: aliases.get(device.name) ?? device.name }))
  const granted = new Set(
    registry.find(grants.flatMap((grant) => (grant === undefined ? [] : [{ name: grant.name, required: false }]))),
  )
  const found = registry.find(named)
  const forbidden = found.filter((name) => !granted.has(name) && !registry.isFree(name))
  if (forbidden.length > 0)
    throw new CairnError(
      'STEP_INVALID',
      forbidden.length === 1
        ? `device ${forbidden[0]} is requested by the build but not allowed`
        : `devices ${forbidden.join(', ')} are requested by the build but not allowed`,
      { hint: `Allow it with: cairn build --allow device=${forbidden[0]}` },
    )
  return found
}
