import type { ImageConfig } from './config.ts'
import { isJsonObject } from './descriptor.ts'
import { goJson } from './go-json.ts'

/** A field of an image config that is not the same in two. */
export interface ConfigDifference {
  /** `Env.PATH`, `Labels.x`, `Cmd`, `architecture`. */
  readonly field: string
  /** Undefined where the first config lacks it. */
  readonly from: unknown
  readonly to: unknown
}

/**
 * What differs between two image configs: variables, labels, ports and volumes one by one, other fields as a whole. Layers
 * and the history are not told, nor what old builders left in it that no container sees; times only where `times` counts.
 */
export function compareConfigs(
  from: ImageConfig,
  to: ImageConfig,
  options: { readonly times: boolean },
): ConfigDifference[] {
  const [before, after] = [fieldsOf(from, options.times), fieldsOf(to, options.times)]
  return [...new Set([...before.keys(), ...after.keys()])]
    .toSorted()
    .map((field) => ({ field, from: before.get(field), to: after.get(field) }))
    .filter((one) => goJson(one.from) !== goJson(one.to))
}

const listed = new Set(['config', 'rootfs', 'history', 'created'])
/** What docker's old builder left behind, which no container sees. */
const leftovers = new Set(['id', 'parent', 'container', 'container_config', 'docker_version', 'Size', 'throwaway'])

function fieldsOf(image: ImageConfig, times: boolean): Map<string, unknown> {
  const fields = new Map<string, unknown>()
  const set = (field: string, value: unknown): void => {
    if (!isNothing(value)) fields.set(field, value)
  }
  for (const [field, value] of Object.entries(image)) if (!listed.has(field) && !leftovers.has(field)) set(field, value)
  if (times) set('created', image.created)
  const { Env: env, Labels: labels, ExposedPorts: ports, Volumes: volumes, ...rest } = image.config ?? {}
  for (const [field, value] of Object.entries(rest)) set(field, value)
  for (const variable of env ?? []) {
    const equals = variable.indexOf('=')
    fields.set(`Env.${equals < 0 ? variable : variable.slice(0, equals)}`, equals < 0 ? '' : variable.slice(equals + 1))
  }
  for (const [name, value] of Object.entries(labels ?? {})) fields.set(`Labels.${name}`, value)
  for (const port of Object.keys(ports ?? {})) fields.set(`ExposedPorts.${port}`, {})
  for (const volume of Object.keys(volumes ?? {})) fields.set(`Volumes.${volume}`, {})
  return fields
}

/** What Go leaves out of its JSON counts as absent. */
function isNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  if (isJsonObject(value)) return Object.keys(value).length === 0
  return value === undefined || value === null || value === '' || value === false || value === 0
}
