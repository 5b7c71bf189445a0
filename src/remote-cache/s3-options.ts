import { parseMilliseconds } from '../dockerfile/duration.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { isCairnError, usageError } from '../errors/error.ts'
import type { FlagFields } from '../dockerfile/flag-fields.ts'
import type { CacheEnvironment } from './cache-options.ts'

/** A cache in a bucket, with BuildKit's keys (cache/remotecache/s3). */
export interface S3Place {
  readonly type: 's3'
  readonly bucket: string
  readonly region: string
  readonly endpoint: URL
  readonly isPathStyle: boolean
  /** In front of the names of blobs and of documents. */
  readonly blobsPrefix: string
  readonly manifestsPrefix: string
  /** What the cache is called: it is written under all of them, and read under the first. */
  readonly names: readonly string[]
  /** Milliseconds after which a blob that is used again is made young, for rules that expire objects. */
  readonly touchAfter: number
  /** Layers that are written at once. */
  readonly parallelism: number
  /** How often a request is tried; undefined for as often as usual. */
  readonly attempts: number | undefined
  /** Those of the flag, else of the environment. */
  readonly keys: S3Keys
}

/** Where keys come from: given, or a file with a profile, or variables of the environment. */
export type S3Keys =
  | { readonly accessKey: string; readonly secretKey: string; readonly sessionToken: string | undefined }
  | { readonly file: string | undefined; readonly profile: string; readonly env: CacheEnvironment['env'] }

const day = 24 * 60 * 60 * 1000

/** Reads the keys of `type=s3`. Throws USAGE with BuildKit's texts. */
export function s3Place(fields: FlagFields, { env }: CacheEnvironment): S3Place {
  const bucket = fields.take('bucket') ?? env['AWS_BUCKET'] ?? ''
  if (bucket === '') throw usageError('bucket ($AWS_BUCKET) not set for s3 cache')
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) throw usageError(`${bucket} is no name of a bucket`)
  const region = fields.take('region') ?? env['AWS_REGION'] ?? ''
  if (region === '') throw usageError('region ($AWS_REGION) not set for s3 cache')
  const prefix = fields.take('prefix') ?? ''
  const retryMode = fields.take('retry_mode')
  if (retryMode !== undefined && retryMode !== 'standard' && retryMode !== 'adaptive')
    throw usageError('retry_mode must be "standard" or "adaptive"')
  // What it is for cannot happen here: the header is not signed.
  fields.take('disable_accept_encoding')
  const wantsPath = parseGoBool(fields.take('use_path_style') ?? '') ?? false
  const endpoint = endpointOf(fields, region, env)
  const attempts = fields.take('retry_max_attempts') === undefined ? undefined : fields.count('retry_max_attempts', 1)
  return {
    type: 's3',
    bucket,
    region,
    endpoint,
    isPathStyle: wantsPath || bucket.includes('.') || isAddress(endpoint.hostname),
    blobsPrefix: prefix + (fields.take('blobs_prefix') ?? 'blobs/'),
    manifestsPrefix: prefix + (fields.take('manifests_prefix') ?? 'manifests/'),
    names: (fields.take('name') ?? 'buildkit').split(';'),
    touchAfter: touchAfter(fields.take('touch_refresh')),
    parallelism: fields.count('upload_parallelism', 4),
    attempts,
    keys: keysOf(fields, env),
  }
}

/** How users know the cache: its bucket and its first name. */
export function s3PlaceName({ bucket, manifestsPrefix, names }: S3Place): string {
  return `s3://${bucket}/${manifestsPrefix}${names[0] ?? ''}`
}

function endpointOf(fields: FlagFields, region: string, env: CacheEnvironment['env']): URL {
  const given = fields.take('endpoint_url') ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'] ?? ''
  if (given === '')
    return new URL(`https://s3.${region}.${region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'}`)
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw usageError('endpoint_url of s3 cache is not a URL', {
      hint: 'It is like https://s3.example.com, without credentials.',
    })
  return url
}

function keysOf(fields: FlagFields, env: CacheEnvironment['env']): S3Keys {
  const [accessKey = '', secretKey = ''] = [fields.take('access_key_id'), fields.take('secret_access_key')]
  const sessionToken = fields.take('session_token')
  if (accessKey !== '' && secretKey !== '') return { accessKey, secretKey, sessionToken }
  if (accessKey !== '' || secretKey !== '')
    throw usageError('s3 cache has only one of access_key_id and secret_access_key', { hint: 'Give both, or neither.' })
  const isInEnvironment = (env['AWS_ACCESS_KEY_ID'] ?? '') !== ''
  const file =
    env['AWS_SHARED_CREDENTIALS_FILE'] ?? (env['HOME'] === undefined ? '' : `${env['HOME']}/.aws/credentials`)
  return { file: isInEnvironment || file === '' ? undefined : file, profile: env['AWS_PROFILE'] ?? 'default', env }
}

/** As BuildKit, what cannot be read is left at a day. */
function touchAfter(text: string | undefined): number {
  if (text === undefined) return day
  try {
    return parseMilliseconds(text)
  } catch (error) {
    if (isCairnError(error, 'DOCKERFILE_INVALID')) return day
    throw error
  }
}

function isAddress(hostname: string): boolean {
  return hostname.startsWith('[') || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(hostname)
}
