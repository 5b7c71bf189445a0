import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { parsePlatform, type Platform } from '../../oci/platform.ts'
import { parseSyncPlace, type SyncPlace } from './sync-places.ts'

/** What is brought from where to where. */
export interface SyncJob {
  readonly source: SyncPlace
  readonly target: SyncPlace
  /** Patterns of repositories, where the source is a registry or directory. */
  readonly repositories?: readonly string[]
  /** Patterns of tags. */
  readonly tags?: readonly string[]
  readonly exclude?: readonly string[]
  /** A range of versions that tags have to be in. */
  readonly version?: string | undefined
  /** Only so many tags of each repository, the highest versions. */
  readonly newest?: number | undefined
  readonly platform?: Platform | undefined
  readonly withReferrers?: boolean
}

const fields: ReadonlySet<string> = new Set([
  'source',
  'target',
  'repositories',
  'tags',
  'exclude',
  'version',
  'newest',
  'platform',
  'referrers',
])

/**
 * Reads a file of jobs, YAML or (by its name) TOML: a list `sync` of objects with `source`, `target` and filters. `name` is
 * the file's. Throws CONFIG_INVALID with the field at fault.
 */
export function parseSyncJobs(text: string, name: string): readonly SyncJob[] {
  let value: unknown
  try {
    value = name.endsWith('.toml') ? Bun.TOML.parse(text) : Bun.YAML.parse(text)
  } catch (cause) {
    throw new CairnError('CONFIG_INVALID', `${name}: ${cause instanceof Error ? cause.message : 'unreadable'}`, {
      cause,
    })
  }
  const list = isJsonObject(value) ? value['sync'] : undefined
  if (!Array.isArray(list)) throw new CairnError('CONFIG_INVALID', `${name} has no list "sync"`)
  return list.map((one: unknown, index) => parseJob(one, `${name}: sync[${index}]`))
}

function parseJob(value: unknown, where: string): SyncJob {
  if (!isJsonObject(value)) throw wrong(where, 'is not an object')
  const unknown = Object.keys(value).find((key) => !fields.has(key))
  if (unknown !== undefined) throw wrong(`${where}.${unknown}`, `is not known; there are ${[...fields].join(', ')}`)
  const { newest, platform, referrers, version } = value
  if (newest !== undefined && (!Number.isSafeInteger(newest) || (newest as number) < 1))
    throw wrong(`${where}.newest`, 'is not a number of tags')
  if (referrers !== undefined && typeof referrers !== 'boolean')
    throw wrong(`${where}.referrers`, 'is not true or false')
  if (platform !== undefined && typeof platform !== 'string') throw wrong(`${where}.platform`, 'is not a text')
  if (version !== undefined && typeof version !== 'string') throw wrong(`${where}.version`, 'is not a text')
  return {
    source: parseSyncPlace(textOf(value, 'source', where)),
    target: parseSyncPlace(textOf(value, 'target', where)),
    repositories: textsOf(value, 'repositories', where),
    tags: textsOf(value, 'tags', where),
    exclude: textsOf(value, 'exclude', where),
    version,
    newest: newest as number | undefined,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    withReferrers: referrers === true,
  }
}

function textOf(value: Readonly<Record<string, unknown>>, key: string, where: string): string {
  const text = value[key]
  if (typeof text === 'string') return text
  throw wrong(`${where}.${key}`, text === undefined ? 'is missing' : 'is not a text')
}

function textsOf(value: Readonly<Record<string, unknown>>, key: string, where: string): readonly string[] {
  const list = value[key] ?? []
  if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list
  throw wrong(`${where}.${key}`, 'is not a list of texts (a number has to be quoted)')
}

function wrong(where: string, what: string): CairnError {
  return new CairnError('CONFIG_INVALID', `${where} ${what}`)
}
