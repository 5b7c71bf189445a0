import { parseMilliseconds } from '../dockerfile/duration.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { isCairnError, usageError } from '../errors/error.ts'
import type { FlagFields } from '../dockerfile/flag-fields.ts'
import type { CacheEnvironment } from './cache-options.ts'

/** A cache at GitHub's cache service, with BuildKit's keys (cache/remotecache/gha). */
export interface GhaPlace {
  readonly type: 'gha'
  readonly scope: string
  /** Where the service is; undefined outside of GitHub Actions, where there is none. */
  readonly service: { readonly url: URL; readonly version: 1 | 2; readonly token: string } | undefined
  /** Milliseconds that a service which has too much to do is waited for. */
  readonly timeout: number
}

const defaultTimeout = 10 * 60 * 1000

/** Reads the keys of `type=gha`, what is left out from the environment as buildx does. Throws USAGE. */
export function ghaPlace(fields: FlagFields, { env }: CacheEnvironment): GhaPlace {
  const version = versionOf(fields, env)
  const token = fields.take('token') ?? env['ACTIONS_RUNTIME_TOKEN'] ?? ''
  const results = env['ACTIONS_RESULTS_URL']
  const newer = fields.take('url_v2') ?? (version === 2 ? results : undefined) ?? ''
  const older = fields.take('url') ?? env['ACTIONS_CACHE_URL'] ?? results ?? ''
  // They only spare BuildKit's exporter questions; every blob is asked for here, once.
  for (const name of ['repository', 'ghtoken']) fields.take(name)
  const isNewer = version !== 1 && newer !== ''
  const url = isNewer ? newer : older
  const place = { type: 'gha' as const, scope: fields.take('scope') ?? 'buildkit', timeout: timeoutOf(fields) }
  if (token === '' || url === '') return { ...place, service: undefined }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw usageError('url of gha cache is not a URL')
  const isResults = url.includes('results-receiver.actions.githubusercontent.com')
  const used = isNewer ? 2 : version === 0 ? (isResults ? 2 : 1) : version
  return { ...place, service: { url: new URL(url), version: used, token } }
}

function versionOf(fields: FlagFields, env: CacheEnvironment['env']): 0 | 1 | 2 {
  const text = fields.take('version')
  if (text === undefined) return parseGoBool(env['ACTIONS_CACHE_SERVICE_V2'] ?? '') === true ? 2 : 0
  if (text !== '1' && text !== '2')
    throw usageError(`failed to parse api version ${JSON.stringify(text)}, expected positive integer`, {
      hint: 'It is 1 or 2.',
    })
  return Number(text) as 1 | 2
}

function timeoutOf(fields: FlagFields): number {
  const text = fields.take('timeout')
  if (text === undefined) return defaultTimeout
  try {
    return parseMilliseconds(text)
  } catch (error) {
    if (!isCairnError(error, 'DOCKERFILE_INVALID')) throw error
    throw usageError(`failed to parse timeout for github actions cache: ${error.message}`)
  }
}
