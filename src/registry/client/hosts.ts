import { CairnError } from '../../errors/error.ts'
import { listDirectory } from '../../linux/directories.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import type { Reference } from '../../oci/reference.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** One place that a repository can be asked for at. */
export interface Endpoint {
  /** Host with its port, as written: where credentials and certificates are looked up. */
  readonly host: string
  /** Repository there. */
  readonly path: string
  /** May be spoken to over plain HTTP, and over TLS with any certificate. */
  readonly isInsecure: boolean
  /** A mirror of the registry that was named, and not that itself. */
  readonly isMirror: boolean
}

/** A `[[registry]]` of containers-registries.conf(5). */
interface RegistryRule {
  readonly prefix: string
  readonly location: string | undefined
  readonly isInsecure: boolean
  readonly isBlocked: boolean
  readonly mirrorsByDigestOnly: boolean
  readonly mirrors: readonly MirrorRule[]
}

interface MirrorRule {
  readonly location: string
  readonly isInsecure: boolean
  readonly pulls: 'all' | 'digest-only' | 'tag-only'
}

/** Docker Hub's name in references, and the host that answers for it. */
const hub = 'docker.io'
const hubHost = 'registry-1.docker.io'

/** True for names of this machine, which may always be spoken to without TLS, as docker does. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(host)
}

/** Which registries stand for which names: containers-registries.conf(5), read once. */
export class RegistryHosts {
  readonly #env: Environment
  #rules: readonly RegistryRule[] | undefined

  constructor(env: Environment) {
    this.#env = env
  }

  /**
   * Where an image can be pulled from: mirrors in their order, then the registry itself. Throws REGISTRY_BLOCKED, and
   * CONFIG_INVALID for a configuration that cannot be read.
   */
  endpointsFor(reference: Reference): readonly Endpoint[] {
    const name = `${reference.domain}/${reference.path}`
    const rule = this.#ruleOf(name, reference)
    this.#requireFree(rule, reference.domain, name)
    const own = endpoint(rewritten(name, rule, rule?.location), rule?.isInsecure ?? false, false)
    const isDigest = reference.digest !== undefined
    const mirrors = (rule?.mirrors ?? []).filter(
      ({ pulls }) =>
        (isDigest ? pulls !== 'tag-only' : pulls !== 'digest-only') && (isDigest || rule?.mirrorsByDigestOnly !== true),
    )
    return [...mirrors.map((mirror) => endpoint(rewritten(name, rule, mirror.location), mirror.isInsecure, true)), own]
  }

  /** A registry as a whole, not one of its repositories. Throws as {@link endpointsFor}. */
  hostEndpoint(host: string): Endpoint {
    const rule = this.#ruleOf(host, { domain: host })
    this.#requireFree(rule, host, host)
    return { ...endpoint(`${host}/`, rule?.isInsecure ?? false, false), path: '' }
  }

  #requireFree(rule: RegistryRule | undefined, host: string, name: string): void {
    if (rule?.isBlocked !== true) return
    throw new CairnError('REGISTRY_BLOCKED', `registry ${host} is blocked for ${name}`, {
      hint: `It says so in ${this.#describe()}.`,
    })
  }

  /** Where an image is pushed to: never a mirror. Throws as {@link endpointsFor}. */
  endpointFor(reference: Reference): Endpoint {
    return this.endpointsFor(reference).at(-1) as Endpoint
  }

  #ruleOf(name: string, { domain }: Pick<Reference, 'domain'>): RegistryRule | undefined {
    this.#rules ??= readRules(this.#env)
    const fitting = this.#rules.filter(({ prefix }) => covers(prefix, name, domain))
    return fitting.reduce<RegistryRule | undefined>(
      (best, rule) => (best === undefined || rule.prefix.length > best.prefix.length ? rule : best),
      undefined,
    )
  }

  #describe(): string {
    return configFiles(this.#env).join(', ') || 'registries.conf'
  }
}

/** `*.example.com` covers its subdomains; anything else a host, a namespace or a repository. */
function covers(prefix: string, name: string, domain: string): boolean {
  if (prefix.startsWith('*.')) return domain.replace(/:\d+$/, '').endsWith(prefix.slice(1))
  return name === prefix || name.startsWith(`${prefix}/`)
}

function rewritten(name: string, rule: RegistryRule | undefined, location: string | undefined): string {
  if (rule === undefined || location === undefined || location === '') return name
  if (rule.prefix.startsWith('*.')) return `${location}${name.slice(name.indexOf('/'))}`
  return `${location}${name.slice(rule.prefix.length)}`
}

function endpoint(name: string, isInsecure: boolean, isMirror: boolean): Endpoint {
  const slash = name.indexOf('/')
  const host = slash < 0 ? name : name.slice(0, slash)
  const path = slash < 0 ? '' : name.slice(slash + 1)
  return { host: host === hub ? hubHost : host, path, isInsecure: isInsecure || isLoopback(host), isMirror }
}

/** The files that are read, in order; what a later one says of a prefix counts. */
function configFiles(env: Environment): readonly string[] {
  const { CONTAINERS_REGISTRIES_CONF: chosen, HOME: home, XDG_CONFIG_HOME: configHome } = env
  if (chosen !== undefined && chosen !== '') return [chosen]
  const config = configHome !== undefined && configHome !== '' ? configHome : `${home ?? '/root'}/.config`
  const own = `${config}/containers/registries.conf`
  const main = readTextFile(own) === undefined ? '/etc/containers/registries.conf' : own
  return [main, ...dropIns('/etc/containers/registries.conf.d'), ...dropIns(`${config}/containers/registries.conf.d`)]
}

function dropIns(directory: string): readonly string[] {
  try {
    return listDirectory(directory)
      .map(({ name }) => name)
      .filter((name) => name.endsWith('.conf'))
      .toSorted()
      .map((name) => `${directory}/${name}`)
  } catch (error) {
    if (error instanceof SystemCallError) return []
    throw error
  }
}

function readRules(env: Environment): readonly RegistryRule[] {
  const rules = new Map<string, RegistryRule>()
  for (const path of configFiles(env)) {
    const text = readTextFile(path)
    if (text === undefined) continue
    for (const rule of parseRules(text, path)) rules.set(rule.prefix, rule)
  }
  return [...rules.values()]
}

function parseRules(text: string, path: string): readonly RegistryRule[] {
  let value: unknown
  try {
    value = Bun.TOML.parse(text)
  } catch (cause) {
    throw invalid(path, `it is not TOML: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  const table = isJsonObject(value) ? value : {}
  const registries = table['registry'] ?? []
  if (!Array.isArray(registries)) throw invalid(path, 'registry is not a list of tables ([[registry]])')
  return [...parseOldRules(table['registries'] ?? {}, path), ...registries.map((one: unknown) => parseRule(one, path))]
}

/** The form before `[[registry]]`: lists of hosts under `[registries.insecure]` and `[registries.block]`. */
function parseOldRules(value: unknown, path: string): readonly RegistryRule[] {
  if (!isJsonObject(value)) throw invalid(path, 'registries is not a table')
  const hosts = (kind: 'insecure' | 'block'): ReadonlySet<string> => {
    const table = value[kind] ?? {}
    const list = isJsonObject(table) ? (table['registries'] ?? []) : undefined
    if (!Array.isArray(list)) throw invalid(path, `registries.${kind} is not a table with a list "registries"`)
    return new Set(list.map((one: unknown) => place(one, path, `registries.${kind}`) ?? ''))
  }
  const [insecure, blocked] = [hosts('insecure'), hosts('block')]
  return [...insecure.union(blocked)].map((prefix) => ({
    prefix,
    location: undefined,
    isInsecure: insecure.has(prefix),
    isBlocked: blocked.has(prefix),
    mirrorsByDigestOnly: false,
    mirrors: [],
  }))
}

function parseRule(value: unknown, path: string): RegistryRule {
  if (!isJsonObject(value)) throw invalid(path, 'a [[registry]] is not a table')
  const location = place(value['location'], path, 'location')
  const prefix = place(value['prefix'], path, 'prefix') ?? location
  if (prefix === undefined || prefix === '') throw invalid(path, 'a [[registry]] has neither prefix nor location')
  const mirrors = value['mirror'] ?? []
  if (!Array.isArray(mirrors)) throw invalid(path, `the mirrors of ${prefix} are not a list of tables`)
  return {
    prefix,
    location,
    isInsecure: flag(value['insecure'], path, 'insecure'),
    isBlocked: flag(value['blocked'], path, 'blocked'),
    mirrorsByDigestOnly: flag(value['mirror-by-digest-only'], path, 'mirror-by-digest-only'),
    mirrors: mirrors.map((one: unknown) => parseMirror(one, prefix, path)),
  }
}

function parseMirror(value: unknown, prefix: string, path: string): MirrorRule {
  const location = isJsonObject(value) ? place(value['location'], path, 'location') : undefined
  if (!isJsonObject(value) || location === undefined) throw invalid(path, `a mirror of ${prefix} has no location`)
  const pulls = value['pull-from-mirror'] ?? 'all'
  if (pulls !== 'all' && pulls !== 'digest-only' && pulls !== 'tag-only')
    throw invalid(path, `pull-from-mirror of ${location} is not all, digest-only or tag-only`)
  return { location, isInsecure: flag(value['insecure'], path, 'insecure'), pulls }
}

/** A host, with or without a path below it; a slash at the end means nothing. */
function place(value: unknown, path: string, name: string): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw invalid(path, `${name} is not text`)
  if (value.includes('://')) throw invalid(path, `${name} ${JSON.stringify(value)} is a URL, not HOST[:PORT][/PATH]`)
  return value.replace(/\/+$/, '')
}

function flag(value: unknown, path: string, name: string): boolean {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw invalid(path, `${name} is not true or false`)
  return value
}

function invalid(path: string, why: string): CairnError {
  return new CairnError('CONFIG_INVALID', `${path}: ${why}`)
}
