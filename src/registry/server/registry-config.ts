import { CairnError } from '../../errors/error.ts'
import { ConfigFields } from '../access/config-fields.ts'
import { parseProxies } from './client-address.ts'
import type { Rate } from './rate-limit.ts'
import { defaultSettings, type RegistrySettings } from './settings.ts'

/** All that a registry server can be told. Times are in milliseconds, sizes in bytes, paths as they were written. */
export interface RegistryConfig {
  readonly address: ListenAddress
  readonly settings: RegistrySettings
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string | undefined } | undefined
  /** Undefined lets anybody do anything. */
  readonly auth: AuthConfig | undefined
  readonly gc: GarbageConfig
  readonly log: LogConfig
  /** Where metrics are served; undefined for nowhere. */
  readonly metrics: ListenAddress | undefined
  readonly webhooks: readonly WebhookConfig[]
  /** Where content is kept; undefined for the local store. */
  readonly s3: S3Config | undefined
  readonly upstreams: readonly UpstreamConfig[]
  /** How long requests may take to end when the server is to stop. */
  readonly drain: number
  /** Seconds that a connection may be silent. */
  readonly idleTimeout: number
  /** Addresses and networks of proxies whose word for whom they ask is taken, as {@link parseProxies} reads them. */
  readonly trustedProxies: readonly string[]
  /** Processes that answer requests. */
  readonly workers: number
}

/** Where to listen. */
export interface ListenAddress {
  readonly hostname: string
  readonly port: number
}

export interface AuthConfig {
  readonly htpasswd: string | undefined
  readonly rules: string | undefined
  readonly apiTokens: string | undefined
  readonly scheme: 'basic' | 'token'
  readonly service: string
  readonly realm: string | undefined
  readonly tokenKey: string | undefined
  readonly tokenLifetime: number
}

export interface GarbageConfig {
  /** 0 for never. */
  readonly interval: number
  readonly blobGrace: number
  readonly uploadGrace: number
  readonly untaggedGrace: number | undefined
}

export interface LogConfig {
  readonly format: 'text' | 'json'
  /** Which requests are told of: none, those that change or are refused, or all. */
  readonly requests: 'none' | 'changes' | 'all'
  readonly audit: string | undefined
}

export interface WebhookConfig {
  readonly url: string
  readonly events: readonly WebhookAction[]
  /** File whose text signs what is sent. */
  readonly secret: string | undefined
}

/** A registry whose content is cached. */
export interface UpstreamConfig {
  /** Repositories below this name are those of the upstream; empty for all. */
  readonly prefix: string
  readonly url: URL
  /** File with USER:PASSWORD. */
  readonly credentials: string | undefined
  /** How long a tag counts as right without asking. */
  readonly ttl: number
  /** How long content is kept that nobody asks for; undefined for ever. */
  readonly keep: number | undefined
}

/** A bucket of an object storage. */
export interface S3Config {
  readonly bucket: string
  readonly endpoint: URL
  /** What clients reach it by, where that is another one. */
  readonly publicEndpoint: URL | undefined
  readonly region: string
  readonly isPathStyle: boolean
  readonly prefix: string
  /** File with the keys, in the form of AWS's; undefined for the environment. */
  readonly credentials: string | undefined
  /** Which keys of that file. */
  readonly profile: string
  readonly isRedirecting: boolean
}

const webhookActions = ['push', 'mount', 'delete', 'pull'] as const

export type WebhookAction = (typeof webhookActions)[number]

const hour = 3_600_000
/** More processes than a machine has processors are slower, not faster. */
export const mostWorkers = 256

/** Reads a configuration file; the empty text gives the defaults. Throws CONFIG_INVALID naming file and field. */
export function parseRegistryConfig(text: string, path: string): RegistryConfig {
  const file = ConfigFields.parse(text, path)
  const config: RegistryConfig = {
    address: file.parsed('addr', parseListenAddress) ?? { hostname: '127.0.0.1', port: 5000 },
    settings: parseSettings(file),
    tls: parseTls(file.table('tls')),
    auth: parseAuth(file.table('auth')),
    gc: parseGarbage(file.table('gc')),
    log: parseLog(file.table('log')),
    metrics: parseMetrics(file.table('metrics')),
    webhooks: file.tables('webhooks').map(parseWebhook),
    s3: parseStorage(file),
    upstreams: parseUpstreams(file),
    drain: file.parsed('drain', parseTime) ?? 30_000,
    workers: parseWorkers(file),
    idleTimeout: Math.min(255, Math.ceil((file.parsed('idle-timeout', parseTime) ?? 120_000) / 1000)),
    trustedProxies: parseTrustedProxies(file),
  }
  file.end()
  return config
}

/** `HOST:PORT`, `:PORT` for every address, `[::1]:PORT`. Throws USAGE. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) throw new CairnError('USAGE', `not HOST:PORT: ${JSON.stringify(text)}`)
  const hostname = match[1] ?? match[2] ?? ''
  return { hostname: hostname === '' ? '0.0.0.0' : hostname, port }
}

function parseWorkers(file: ConfigFields): number {
  const workers = file.count('workers') ?? 1
  if (workers >= 1 && workers <= mostWorkers) return workers
  throw file.refusal('workers', `is not from 1 to ${mostWorkers}`)
}

function parseTrustedProxies(file: ConfigFields): readonly string[] {
  const proxies = file.texts('trusted-proxies') ?? []
  const wrong = proxies.find((one) => parseProxies(one) === undefined)
  if (wrong === undefined) return proxies
  throw file.refusal('trusted-proxies', `has ${JSON.stringify(wrong)}, which is no address and no network`)
}

function parseSettings(file: ConfigFields): RegistrySettings {
  const limits = file.table('limits')
  const settings: RegistrySettings = {
    isReadOnly: file.flag('read-only') ?? defaultSettings.isReadOnly,
    isDeleteEnabled: file.flag('delete') ?? defaultSettings.isDeleteEnabled,
    missingContent: file.choice('missing-content', ['accept', 'refuse']) ?? defaultSettings.missingContent,
    largestManifest: limits?.parsed('manifest', parseManifestSize) ?? defaultSettings.largestManifest,
    largestBlob: limits?.parsed('blob', parseSize) ?? defaultSettings.largestBlob,
    quota: limits?.parsed('repository', parseSize) ?? defaultSettings.quota,
    requests: limits?.parsed('requests', parseRate),
    failedLogins: limits?.parsed('failed-logins', parseRate) ?? defaultSettings.failedLogins,
  }
  limits?.end()
  return settings
}

function parseTls(table: ConfigFields | undefined): RegistryConfig['tls'] {
  if (table === undefined) return undefined
  const tls = { cert: table.required('cert'), key: table.required('key'), clientCa: table.text('client-ca') }
  table.end()
  return tls
}

/** What holds where only some of it is given. */
export const defaultAuth: AuthConfig = {
  htpasswd: undefined,
  rules: undefined,
  apiTokens: undefined,
  scheme: 'basic',
  service: 'cairn-registry',
  realm: undefined,
  tokenKey: undefined,
  tokenLifetime: 300_000,
}

function parseAuth(table: ConfigFields | undefined): AuthConfig | undefined {
  if (table === undefined) return undefined
  const auth: AuthConfig = {
    htpasswd: table.text('htpasswd'),
    rules: table.text('rules'),
    apiTokens: table.text('api-tokens'),
    scheme: table.choice('scheme', ['basic', 'token']) ?? defaultAuth.scheme,
    service: table.parsed('service', parseService) ?? defaultAuth.service,
    realm: table.parsed('realm', parseRealm),
    tokenKey: table.text('token-key'),
    tokenLifetime: table.parsed('token-lifetime', parseTokenLifetime) ?? defaultAuth.tokenLifetime,
  }
  table.end()
  return auth
}

function parseGarbage(table: ConfigFields | undefined): GarbageConfig {
  const gc = {
    interval: table?.parsed('interval', parseTime) ?? hour,
    blobGrace: table?.parsed('blob-grace', parseTime) ?? 24 * hour,
    uploadGrace: table?.parsed('upload-grace', parseTime) ?? 24 * hour,
    untaggedGrace: table?.parsed('untagged-grace', parseTime),
  }
  table?.end()
  return gc
}

function parseLog(table: ConfigFields | undefined): LogConfig {
  const log: LogConfig = {
    format: table?.choice('format', ['text', 'json']) ?? 'text',
    requests: table?.choice('requests', ['none', 'changes', 'all']) ?? 'changes',
    audit: table?.text('audit'),
  }
  table?.end()
  return log
}

function parseMetrics(table: ConfigFields | undefined): ListenAddress | undefined {
  if (table === undefined) return undefined
  const address = table.parsed('addr', parseListenAddress) ?? { hostname: '127.0.0.1', port: 5001 }
  table.end()
  return address
}

function parseWebhook(table: ConfigFields): WebhookConfig {
  const webhook = {
    url: table.parsed('url', parseRealm) ?? table.required('url'),
    events: table.choices('events', webhookActions) ?? ['push', 'mount', 'delete'],
    secret: table.text('secret'),
  }
  table.end()
  return webhook
}

/** `storage = "s3"` with its table. */
function parseStorage(file: ConfigFields): S3Config | undefined {
  const storage = file.choice('storage', ['local', 's3']) ?? 'local'
  const table = file.table('s3')
  if (storage === 'local') {
    if (table === undefined) return undefined
    throw file.refusal('s3', 'is there, but storage is not "s3"')
  }
  if (table === undefined) throw file.refusal('storage', 'is "s3", but there is no table s3 with its bucket')
  const region = table.text('region') ?? 'us-east-1'
  const endpoint = table.parsed('endpoint', parseEndpoint)
  const s3: S3Config = {
    bucket: table.parsed('bucket', parseBucket) ?? table.required('bucket'),
    endpoint: endpoint ?? new URL(`https://s3.${region}.amazonaws.com`),
    publicEndpoint: table.parsed('public-endpoint', parseEndpoint),
    region,
    // Amazon wants names in front of the host, and nearly everybody else has no DNS for that.
    isPathStyle: table.flag('path-style') ?? endpoint !== undefined,
    prefix: table.parsed('prefix', parsePrefix) ?? '',
    credentials: table.text('credentials'),
    profile: table.text('profile') ?? 'default',
    isRedirecting: table.flag('redirect') ?? true,
  }
  table.end()
  return s3
}

function parseUpstreams(file: ConfigFields): UpstreamConfig[] {
  const upstreams = file.tables('upstream').map(parseUpstream)
  for (const [index, { prefix }] of upstreams.entries())
    if (upstreams.findIndex((one) => one.prefix === prefix) !== index)
      throw file.refusal('upstream', `has two with the prefix ${JSON.stringify(prefix)}`)
  return upstreams
}

function parseUpstream(table: ConfigFields): UpstreamConfig {
  const upstream = {
    prefix: table.parsed('prefix', parseUpstreamPrefix) ?? '',
    url: table.parsed('url', parseRegistryUrl) ?? new URL(table.required('url')),
    credentials: table.text('credentials'),
    ttl: table.parsed('ttl', parseTime) ?? 60_000,
    keep: table.parsed('keep', parseTime),
  }
  table.end()
  return upstream
}

function parseUpstreamPrefix(text: string): string {
  if (/^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$/.test(text)) return text
  throw invalid('not the beginning of a repository as in docker.io')
}

function parseRegistryUrl(text: string): URL {
  const url = parseEndpoint(text)
  if (url.pathname === '/') return url
  throw invalid('the URL of a registry is only its scheme, host and port')
}

function parseBucket(text: string): string {
  if (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text)) return text
  throw invalid('a bucket has 3 to 63 of a-z, 0-9, . and -')
}

/** A prefix of keys ends in a slash. Its characters need no escapes anywhere. */
function parsePrefix(text: string): string {
  if (!/^[\w.-]+(?:\/[\w.-]+)*\/?$/.test(text)) throw invalid('only names of letters, digits and _ . - with / between')
  return text.endsWith('/') ? text : `${text}/`
}

function parseEndpoint(text: string): URL {
  const url = /^https?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && url.username === '' && url.search === '' && url.hash === '') return url
  throw invalid('not an http or https URL without user and query')
}

/** `10g`: a number with k, m, g or t, powers of 1024. Throws CONFIG_INVALID. */
function parseSize(text: string): number {
  const match = /^(\d{1,12})([kmgt]?)$/i.exec(text)
  if (match === null) throw invalid(`not a size as in 10g: ${JSON.stringify(text)}`)
  return Number(match[1]) * 1024 ** ' kmgt'.indexOf((match[2] || ' ').toLowerCase())
}

/** Clients need not take more than 4 MiB, and nothing here reads more. */
function parseManifestSize(text: string): number {
  const size = parseSize(text)
  if (size > defaultSettings.largestManifest) throw invalid('no more than 4m is possible')
  return size
}

const timeUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: hour, d: 24 * hour }

/** `90s`: a number with ms, s, m, h or d. Throws CONFIG_INVALID. */
function parseTime(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text)
  if (match === null) throw invalid(`not a time as in 90s: ${JSON.stringify(text)}`)
  return Number(match[1]) * (timeUnits[match[2] ?? ''] ?? 1)
}

/** Clients take tokens without a time for 60 seconds, and the specification asks for no less. */
function parseTokenLifetime(text: string): number {
  const time = parseTime(text)
  if (time < 60_000) throw invalid('no less than 60s is possible')
  return time
}

/** `100/s`: so many in a second, minute or hour. Throws CONFIG_INVALID. */
function parseRate(text: string): Rate {
  const match = /^([1-9]\d{0,8})\/([smh])$/.exec(text)
  if (match === null) throw invalid(`not a rate as in 100/s: ${JSON.stringify(text)}`)
  return { count: Number(match[1]), period: timeUnits[match[2] ?? ''] ?? 1000 }
}

function parseRealm(text: string): string {
  if (/^https?:\/\//.test(text) && URL.canParse(text) && !text.includes('"')) return text
  throw invalid(`not an http or https URL: ${JSON.stringify(text)}`)
}

function parseService(text: string): string {
  if (/^[\w.:/-]+$/.test(text)) return text
  throw invalid('only letters, digits and _ . : / - are possible')
}

function invalid(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}
