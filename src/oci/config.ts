import { CairnError } from '../errors/error.ts'
import { isJsonObject } from './descriptor.ts'
import { type Digest, digestOf, isDigest } from './digest.ts'
import { goJson, inOrder } from './go-json.ts'
import { type DocumentKind, largestDocument, type ParsedDocument, parseJsonDocument } from './json-document.ts'
import type { Platform } from './platform.ts'

/** Docker's addition to the container config. Times are nanoseconds; 0 or absent means inherit or default. */
export interface Healthcheck {
  /** `[]` inherits, `['NONE']` turns off, `['CMD', …]` runs a program, `['CMD-SHELL', line]` a shell line. */
  readonly Test?: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

/** image-spec config.md §config, with Docker's Healthcheck, OnBuild and Shell. null counts as absent. */
export interface ContainerConfig {
  readonly User?: string
  readonly ExposedPorts?: Readonly<Record<string, object>> | null
  readonly Env?: readonly string[] | null
  readonly Entrypoint?: readonly string[] | null
  readonly Cmd?: readonly string[] | null
  readonly Volumes?: Readonly<Record<string, object>> | null
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>> | null
  readonly StopSignal?: string
  readonly ArgsEscaped?: boolean
  readonly Healthcheck?: Healthcheck | null
  readonly OnBuild?: readonly string[] | null
  readonly Shell?: readonly string[] | null
}

/** image-spec config.md §history. */
export interface History {
  /** RFC 3339. */
  readonly created?: string
  readonly created_by?: string
  readonly author?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

/** image-spec config.md: what an image is made of and how it runs. Its digest is the image ID. */
export interface ImageConfig extends Platform {
  /** RFC 3339. */
  readonly created?: string
  readonly author?: string
  /** Docker's addition: its version, in images that its daemon made without BuildKit. */
  readonly docker_version?: string
  readonly config?: ContainerConfig
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] }
  readonly history?: readonly History[]
}

const kind: DocumentKind = { name: 'image config', code: 'CONFIG_INVALID' }

/**
 * Reads an image config. Unknown fields are kept in `value`; top-level nulls, which Go reads as absent, are left out
 * of it and `rootfs.diff_ids` is always a list. Throws CONFIG_INVALID naming the field, also for keys
 * given twice and for more than 4 MiB.
 */
export function parseImageConfig(input: Uint8Array | string): ParsedDocument<ImageConfig> {
  const { raw, value } = parseJsonDocument(input, kind, largestDocument)
  for (const field of ['architecture', 'os'])
    if (typeof value[field] !== 'string') throw invalid(`image config ${field} is missing`)
  for (const field of ['variant', 'os.version', 'author', 'docker_version']) checkText(value[field], field)
  if (value['os.features'] !== undefined) checkTexts(value['os.features'], 'os.features')
  checkTime(value['created'], 'created')
  if (value['config'] !== undefined && value['config'] !== null) checkContainerConfig(value['config'])
  checkRootfs(value['rootfs'])
  checkHistory(value['history'])
  const present = Object.fromEntries(Object.entries(value).filter(([, item]) => item !== null))
  const rootfs = { ...(value['rootfs'] as object), diff_ids: (value['rootfs'] as ImageConfig['rootfs']).diff_ids ?? [] }
  return { raw, value: { ...present, rootfs } as unknown as ImageConfig }
}

function checkContainerConfig(value: unknown): void {
  if (!isJsonObject(value)) throw invalid('config is not an object')
  for (const field of ['User', 'WorkingDir', 'StopSignal']) checkText(value[field], `config.${field}`)
  for (const field of ['Env', 'Entrypoint', 'Cmd', 'OnBuild', 'Shell'])
    if (!isAbsent(value[field])) checkTexts(value[field], `config.${field}`)
  for (const field of ['ExposedPorts', 'Volumes']) {
    const set = value[field]
    if (!isAbsent(set) && (!isJsonObject(set) || !Object.values(set).every(isJsonObject)))
      throw invalid(`config.${field} is not a map of empty objects`)
  }
  const { Labels: labels, ArgsEscaped: argsEscaped, Healthcheck: healthcheck } = value
  if (!isAbsent(labels) && (!isJsonObject(labels) || !Object.values(labels).every((item) => typeof item === 'string')))
    throw invalid('config.Labels is not a map of strings')
  if (!isAbsent(argsEscaped) && typeof argsEscaped !== 'boolean')
    throw invalid('config.ArgsEscaped is neither true nor false')
  if (!isAbsent(healthcheck)) checkHealthcheck(healthcheck)
}

function checkHealthcheck(value: unknown): void {
  if (!isJsonObject(value)) throw invalid('config.Healthcheck is not an object')
  if (!isAbsent(value['Test'])) checkTexts(value['Test'], 'config.Healthcheck.Test')
  for (const field of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries']) {
    const number = value[field]
    if (!isAbsent(number) && !Number.isInteger(number))
      throw invalid(`config.Healthcheck.${field} is not a whole number: ${JSON.stringify(number)}`)
  }
}

function checkRootfs(value: unknown): void {
  if (!isJsonObject(value)) throw invalid('image config rootfs is missing')
  if (value['type'] !== 'layers') throw invalid(`rootfs.type is not "layers": ${JSON.stringify(value['type'])}`)
  const diffIds = value['diff_ids']
  if (diffIds === null) return
  if (!Array.isArray(diffIds)) throw invalid('rootfs.diff_ids is not a list')
  for (const [index, diffId] of diffIds.entries())
    if (typeof diffId !== 'string' || !isDigest(diffId))
      throw invalid(`rootfs.diff_ids[${index}] is not a sha256 or sha512 digest: ${JSON.stringify(diffId)}`)
}

function checkHistory(value: unknown): void {
  if (isAbsent(value)) return
  if (!Array.isArray(value)) throw invalid('history is not a list')
  for (const [index, entry] of value.entries()) {
    const where = `history[${index}]`
    if (!isJsonObject(entry)) throw invalid(`${where} is not an object`)
    checkTime(entry['created'], `${where}.created`)
    for (const field of ['created_by', 'author', 'comment']) checkText(entry[field], `${where}.${field}`)
    if (!isAbsent(entry['empty_layer']) && typeof entry['empty_layer'] !== 'boolean')
      throw invalid(`${where}.empty_layer is neither true nor false`)
  }
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

function checkText(value: unknown, where: string): void {
  if (!isAbsent(value) && typeof value !== 'string') throw invalid(`${where} is not text`)
}

function checkTexts(value: unknown, where: string): void {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw invalid(`${where} is not a list of strings`)
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/

function checkTime(value: unknown, where: string): void {
  if (isAbsent(value)) return
  if (typeof value !== 'string' || !rfc3339.test(value))
    throw invalid(`${where} is not a time by RFC 3339: ${JSON.stringify(value)}`)
}

const containerOrder = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
]
const healthcheckOrder = ['Test', 'Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries']
const historyOrder = ['created', 'created_by', 'author', 'comment', 'empty_layer']

/**
 * The bytes of an image config, equal for equal configs and laid out as BuildKit lays them out: top-level keys sorted,
 * below that Go's struct order, empty values left out, Go's escaping. Unknown fields survive.
 */
export function serializeConfig(config: ImageConfig): Uint8Array<ArrayBuffer> {
  const { config: container, rootfs, history } = config
  const document = {
    ...withoutEmpty(config),
    architecture: config.architecture,
    os: config.os,
    config: inOrder(orderContainer(container ?? {}), containerOrder),
    rootfs: inOrder(rootfs, ['type', 'diff_ids']),
    history: history?.map((entry) => inOrder(withoutEmpty(entry), historyOrder)),
  }
  return new TextEncoder().encode(goJson(document))
}

function orderContainer(container: ContainerConfig): Readonly<Record<string, unknown>> {
  const { Healthcheck: healthcheck } = container
  const fields = withoutEmpty(container)
  if (isAbsent(healthcheck)) return fields
  return { ...fields, Healthcheck: inOrder(withoutEmpty(healthcheck), healthcheckOrder) }
}

/** Without what Go's `omitempty` leaves out: null, '', 0, false, empty lists and maps. */
function withoutEmpty(value: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => !isEmpty(item)))
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  if (isJsonObject(value)) return Object.keys(value).length === 0
  return isAbsent(value) || value === '' || value === 0 || value === false
}

/**
 * The chain ID of each layer of a stack, base first: it stands for the layer and all below it, so that of the last one
 * identifies the whole root filesystem. image-spec config.md §layer chainid.
 */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`))
  }
  return chain
}

function invalid(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}

/** The platform a config says it is for. */
export function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant, 'os.version': osVersion, 'os.features': osFeatures } = config
  return {
    architecture,
    os,
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    ...(osFeatures === undefined ? {} : { 'os.features': osFeatures }),
  }
}

/** PATH where neither an image nor anybody else sets one. */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
