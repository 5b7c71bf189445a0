import { usageError } from '../errors/error.ts'
import type { ContainerConfig, ImageConfig } from './config.ts'
import { goJson } from './go-json.ts'

/** Changes to the settings of an image; what is not named stays. */
export interface ConfigEdits {
  readonly labels: ReadonlyMap<string, string>
  readonly withoutLabels: readonly string[]
  /** Variables to set, in this order. */
  readonly env: ReadonlyMap<string, string>
  readonly withoutEnv: readonly string[]
  /** Empty to clear. */
  readonly cmd?: readonly string[] | undefined
  readonly entrypoint?: readonly string[] | undefined
  readonly user?: string | undefined
  readonly workingDir?: string | undefined
  readonly stopSignal?: string | undefined
  /** `8080` or `53/udp`. */
  readonly expose: readonly string[]
  readonly withoutPorts: readonly string[]
  readonly volumes: readonly string[]
  readonly withoutVolumes: readonly string[]
  readonly author?: string | undefined
  /** RFC 3339: of the image, its history stays. */
  readonly created?: string | undefined
}

/** The config with changes made to it. Throws USAGE for a port that is none. */
export function editConfig(config: ImageConfig, edits: ConfigEdits): ImageConfig {
  const container = config.config ?? {}
  const { cmd, entrypoint, user, workingDir, stopSignal, author, created } = edits
  const edited: ContainerConfig = {
    ...container,
    Labels: editMap(container.Labels, edits.labels, edits.withoutLabels),
    Env: editEnv(container.Env ?? [], edits.env, edits.withoutEnv),
    ExposedPorts: editMap(
      container.ExposedPorts,
      new Map(edits.expose.map((port) => [portName(port), {}])),
      edits.withoutPorts.map(portName),
    ),
    Volumes: editMap(container.Volumes, new Map(edits.volumes.map((path) => [path, {}])), edits.withoutVolumes),
    ...(cmd === undefined ? {} : { Cmd: cmd }),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    ...(user === undefined ? {} : { User: user }),
    ...(workingDir === undefined ? {} : { WorkingDir: workingDir }),
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
  }
  const isSame = goJson(withoutNothing(edited)) === goJson(withoutNothing(container))
  return {
    ...config,
    ...(isSame ? {} : { config: edited }),
    ...(author === undefined ? {} : { author }),
    ...(created === undefined ? {} : { created }),
  }
}

function withoutNothing(container: ContainerConfig): object {
  return Object.fromEntries(
    Object.entries(container).filter(([, value]) => goJson(value) !== '[]' && goJson(value) !== '{}' && value !== null),
  )
}

function editMap<Value>(
  map: Readonly<Record<string, Value>> | null | undefined,
  more: ReadonlyMap<string, Value>,
  without: readonly string[],
): Record<string, Value> {
  const kept = Object.entries(map ?? {}).filter(([key]) => !without.includes(key))
  return Object.fromEntries([...kept, ...more])
}

/** A variable that is there keeps its place; new ones follow. */
function editEnv(env: readonly string[], set: ReadonlyMap<string, string>, without: readonly string[]): string[] {
  const kept = env.filter((variable) => !without.includes(nameOf(variable)))
  const names = new Set(kept.map(nameOf))
  const changed = kept.map((variable) => {
    const value = set.get(nameOf(variable))
    return value === undefined ? variable : `${nameOf(variable)}=${value}`
  })
  const added = [...set].filter(([name]) => !names.has(name)).map(([name, value]) => `${name}=${value}`)
  return [...changed, ...added]
}

function portName(text: string): string {
  const match = /^(\d{1,5}(?:-\d{1,5})?)(?:\/(tcp|udp|sctp))?$/.exec(text)
  if (match === null) throw usageError(`invalid port ${JSON.stringify(text)}: write it as 8080, 8000-8010 or 53/udp`)
  return `${match[1]}/${match[2] ?? 'tcp'}`
}

/**
 * The settings of an image made on `oldBase`, carried over to `newBase`: what the image did not change is the new base's,
 * variables, labels, ports and volumes one by one; what it changed, added or took away stays so.
 */
export function rebaseConfig(
  image: ContainerConfig,
  oldBase: ContainerConfig,
  newBase: ContainerConfig,
): ContainerConfig {
  const merged = mergeFields(asFields(image), asFields(oldBase), asFields(newBase))
  const { Env: _env, Labels: _labels, ExposedPorts: _ports, Volumes: _volumes, ...rest } = Object.fromEntries(merged)
  return {
    ...rest,
    Env: Object.entries(mergeMaps(variables(image), variables(oldBase), variables(newBase))).map(
      ([name, value]) => `${name}=${value}`,
    ),
    Labels: mergeMaps(image.Labels, oldBase.Labels, newBase.Labels),
    ExposedPorts: mergeMaps(image.ExposedPorts, oldBase.ExposedPorts, newBase.ExposedPorts),
    Volumes: mergeMaps(image.Volumes, oldBase.Volumes, newBase.Volumes),
  }
}

type Fields = ReadonlyMap<string, unknown>

function asFields(config: ContainerConfig): Fields {
  return new Map(Object.entries(config).filter(([, value]) => value !== null && value !== ''))
}

function mergeFields(image: Fields, oldBase: Fields, newBase: Fields): Map<string, unknown> {
  const merged = new Map(newBase)
  for (const key of new Set([...image.keys(), ...oldBase.keys()])) {
    const value = image.get(key)
    if (goJson(value) === goJson(oldBase.get(key))) continue
    if (value === undefined) merged.delete(key)
    else merged.set(key, value)
  }
  return merged
}

type OptionalMap<Value> = Readonly<Record<string, Value>> | null | undefined

function mergeMaps<Value>(
  image: OptionalMap<Value>,
  oldBase: OptionalMap<Value>,
  newBase: OptionalMap<Value>,
): Record<string, Value> {
  const entries = (map: OptionalMap<Value>): Fields => new Map(Object.entries(map ?? {}))
  return Object.fromEntries(mergeFields(entries(image), entries(oldBase), entries(newBase))) as Record<string, Value>
}

function variables({ Env: env }: ContainerConfig): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (env ?? []).map((variable) => [nameOf(variable), variable.slice(nameOf(variable).length + 1)]),
  )
}

function nameOf(variable: string): string {
  const equals = variable.indexOf('=')
  return equals < 0 ? variable : variable.slice(0, equals)
}
