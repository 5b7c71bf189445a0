import { CairnError } from '../errors/error.ts'
import { quoteGo } from './characters.ts'
import { type CsvPair, csvPairs } from './csv.ts'
import { parseGoBool } from './go-bool.ts'
import { extensionsHint } from './frontend.ts'
import { cleanPath } from './path-match.ts'
import { withSuggestion } from './suggest.ts'

/** How processes share a cache mount. */
export type CacheSharing = 'shared' | 'private' | 'locked'

interface MountBase {
  /** Where it appears, as written: relative to WORKDIR unless it begins with `/`. */
  readonly target: string
  readonly readOnly: boolean
}

/** Owner and permissions of what a mount makes. */
interface MountOwner {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
}

/** Files of the build context, of a stage, or of an image. */
export interface BindMount extends MountBase {
  readonly type: 'bind'
  /** Stage, named context or image; the build context where it is absent. */
  readonly from?: string
  readonly source?: string
}

/** A directory that outlives the build. Without `mode` it is made with 0755. */
export interface CacheMount extends MountBase, MountOwner {
  readonly type: 'cache'
  /** As given, else the cleaned target. */
  readonly id: string
  readonly sharing: CacheSharing
  readonly from?: string
  readonly source?: string
}

/** Memory. */
export interface TmpfsMount extends MountBase {
  readonly type: 'tmpfs'
  /** Bytes it may hold. */
  readonly size?: number
}

/** A secret, as a file where `target` is given, as a variable where `env` is. */
export interface SecretMount {
  readonly type: 'secret'
  readonly id: string
  /** Absent only where the secret is to appear as a variable and nowhere else. */
  readonly target?: string
  readonly env?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** The socket of an SSH agent. */
export interface SshMount {
  readonly type: 'ssh'
  readonly id: string
  /** Absent: below /run/buildkit, and SSH_AUTH_SOCK names it. */
  readonly target?: string
  readonly required: boolean
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** A value of `RUN --mount`. Dockerfile reference, "RUN --mount". */
export type RunMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount

const types = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
type MountType = RunMount['type']

const sharings = ['shared', 'private', 'locked'] as const

const keys =
  'type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env'.split(
    ' ',
  )

/** What the fields of a mount say, before it is known to make sense for its type. */
interface Fields {
  type: MountType
  from?: string
  source?: string
  target?: string
  readOnly?: boolean
  id?: string
  sharing?: CacheSharing
  required?: boolean
  size?: number
  mode?: number
  uid?: number
  gid?: number
  env?: string
}

/**
 * Reads a value of `RUN --mount`: `key=value` fields separated by commas, quoted where they hold a comma. `expand`
 * replaces the variables of the value of each key. Throws DOCKERFILE_INVALID in BuildKit's words, and what `expand`
 * throws.
 */
export function parseMount(text: string, expand: (value: string, key: string) => string): RunMount {
  const pairs = mountPairs(text).map(({ field, key, value }) => {
    return { field, key, value: value === undefined ? undefined : expand(value, key) }
  })
  // `required` and `size` may stand before the type that allows them.
  const typeText = pairs.findLast(({ key, value }) => key === 'type' && value !== undefined)?.value?.toLowerCase()
  const fields: Fields = { type: types.find((known) => known === typeText) ?? 'bind' }
  for (const { field, key, value } of pairs) readField(fields, field, key, value)
  checkCombination(fields)
  return build(fields)
}

/**
 * What can be said of a value of `RUN --mount` before variables are known: its fields can be told apart and `from`
 * holds no variable, unless the language has extensions. Throws DOCKERFILE_INVALID.
 */
export function checkMount(text: string, { extensions }: { readonly extensions: boolean }): void {
  for (const { key, value } of mountPairs(text)) {
    const dollar = key === 'from' && value !== undefined ? value.indexOf('$') : -1
    if (!extensions && value !== undefined && dollar >= 0 && dollar !== value.length - 1) {
      const message = `'${key}' doesn't support variable expansion, define alias stage instead`
      throw new CairnError('DOCKERFILE_INVALID', message, { hint: extensionsHint })
    }
  }
}

/**
 * The stage, named context or image that a value of `RUN --mount` takes its files from, as written; undefined where
 * it names none. Throws DOCKERFILE_INVALID.
 */
export function mountSource(text: string): string | undefined {
  const from = mountPairs(text).findLast(({ key }) => key === 'from')?.value
  return isGiven(from) ? from : undefined
}

function mountPairs(text: string): CsvPair[] {
  const pairs = csvPairs(text, (message) => invalid(`failed to parse csv mounts: ${message}`))
  return pairs.map((pair) => ({ ...pair, key: pair.key.toLowerCase() }))
}

function readField(fields: Fields, field: string, key: string, value: string | undefined): void {
  if (value === undefined && !['readonly', 'ro', 'readwrite', 'rw', 'required'].includes(key)) {
    throw invalid(`invalid field '${field}' must be a key=value pair`)
  }
  const text = value ?? 'true'
  switch (key) {
    case 'type':
      parseType(text)
      return
    case 'from':
    case 'id':
    case 'env':
      fields[key] = text
      return
    case 'source':
    case 'src':
      fields.source = text
      return
    case 'target':
    case 'dst':
    case 'destination':
      fields.target = text
      return
    case 'readonly':
    case 'ro':
      fields.readOnly = parseFlag(key, text)
      return
    case 'readwrite':
    case 'rw':
      fields.readOnly = !parseFlag(key, text)
      return
    case 'required':
      if (fields.type !== 'secret' && fields.type !== 'ssh') throw misplaced(key, fields.type)
      fields.required = parseFlag(key, text)
      return
    case 'size':
      if (fields.type !== 'tmpfs') throw misplaced(key, fields.type)
      fields.size = parseSize(key, text)
      return
    case 'sharing':
      fields.sharing = parseSharing(text)
      return
    case 'mode':
      fields.mode = parseUnsigned(key, text, 8)
      return
    case 'uid':
    case 'gid':
      fields[key] = parseUnsigned(key, text, 10)
      return
    default:
      throw invalid(withSuggestion(`unexpected key '${key}' in '${field}'`, key, keys, true))
  }
}

function checkCombination(fields: Fields): void {
  const { type } = fields
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (fields[key] !== undefined) throw invalid(`${key} not allowed for ${quoteGo(type)} type mounts`)
    }
  }
  if (type === 'secret') {
    if (isGiven(fields.from)) throw invalid('secret mount should not have a from')
    if (fields.sharing !== undefined) throw invalid('secret mount should not define sharing')
    if (!isGiven(fields.source) && !isGiven(fields.target) && !isGiven(fields.id)) {
      throw invalid('invalid secret mount. one of source, target required')
    }
    if (isGiven(fields.source) && isGiven(fields.id)) throw invalid("both source and id can't be set")
  }
  if (type === 'ssh' && isGiven(fields.source)) throw invalid('ssh does not support source')
  if (fields.sharing !== undefined && type !== 'cache') throw invalid(`invalid cache sharing set for ${type} mount`)
  const target = fields.target ?? ''
  if (type !== 'secret' && type !== 'ssh' && target.startsWith('/') && cleanPath(target) === '/') {
    throw invalid(`invalid mount target ${quoteGo(target)}`)
  }
}

function build(fields: Fields): RunMount {
  const target = fields.target ?? ''
  const origin = {
    ...(isGiven(fields.from) ? { from: fields.from } : {}),
    ...(isGiven(fields.source) ? { source: fields.source } : {}),
  }
  const owner = {
    ...(fields.mode === undefined ? {} : { mode: fields.mode }),
    ...(fields.uid === undefined ? {} : { uid: fields.uid }),
    ...(fields.gid === undefined ? {} : { gid: fields.gid }),
  }
  const place = isGiven(fields.target) ? { target: fields.target } : {}
  switch (fields.type) {
    case 'bind':
      return { type: 'bind', target, readOnly: fields.readOnly ?? true, ...origin }
    case 'cache': {
      const id = isGiven(fields.id) ? fields.id : cleanPath(target)
      const sharing = fields.sharing ?? 'shared'
      return { type: 'cache', id, target, readOnly: fields.readOnly ?? false, sharing, ...origin, ...owner }
    }
    case 'tmpfs': {
      const size = fields.size === undefined ? {} : { size: fields.size }
      return { type: 'tmpfs', target, readOnly: fields.readOnly ?? false, ...size }
    }
    case 'secret':
      return buildSecret(fields)
    case 'ssh': {
      const id = isGiven(fields.id) ? fields.id : 'default'
      const { required = false, mode = 0o600, uid = 0, gid = 0 } = fields
      return { type: 'ssh', id, ...place, required, mode, uid, gid }
    }
  }
}

function buildSecret(fields: Fields): SecretMount {
  const { required = false, mode = 0o400, uid = 0, gid = 0 } = fields
  const named = isGiven(fields.source) ? fields.source : fields.id
  const id = isGiven(named) ? named : baseName(fields.target ?? '')
  // An empty `env=` asks for a variable of the secret's own name.
  const env = fields.env === undefined ? {} : { env: fields.env === '' ? id : fields.env }
  const fallback = fields.env === undefined ? `/run/secrets/${baseName(id)}` : undefined
  const target = isGiven(fields.target) ? fields.target : fallback
  return { type: 'secret', id, ...(target === undefined ? {} : { target }), ...env, required, mode, uid, gid }
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined && text !== ''
}

function baseName(path: string): string {
  const clean = cleanPath(path)
  return clean === '/' ? clean : clean.slice(clean.lastIndexOf('/') + 1)
}

function parseType(text: string): MountType {
  const lower = text.toLowerCase()
  const type = types.find((known) => known === lower)
  if (type === undefined) {
    throw invalid(withSuggestion(`unsupported mount type ${quoteGo(text)}`, text, types, true))
  }
  return type
}

function parseSharing(text: string): CacheSharing {
  const lower = text.toLowerCase()
  const sharing = sharings.find((known) => known === lower)
  if (sharing === undefined) {
    throw invalid(withSuggestion(`unsupported sharing value ${quoteGo(text)}`, text, sharings, true))
  }
  return sharing
}

function parseFlag(key: string, text: string): boolean {
  const value = parseGoBool(text)
  if (value === undefined) throw invalid(`invalid value for ${key}: ${text}`)
  return value
}

function parseUnsigned(key: string, text: string, base: 8 | 10): number {
  const digits = base === 8 ? /^[0-7]+$/ : /^[0-9]+$/
  const value = digits.test(text) ? Number.parseInt(text, base) : Number.NaN
  if (!(value <= 0xffff_ffff)) throw invalid(`invalid value ${text} for ${key}`)
  return value
}

const powers: Readonly<Record<string, number>> = { b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 }

/** Bytes, with a unit in powers of 1024 (`64m`, `1.5GiB`, `10 kb`), as docker reads memory sizes. */
function parseSize(key: string, text: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text)
  const size = Number(match?.[1] ?? Number.NaN) * 1024 ** (powers[(match?.[2] ?? 'b').toLowerCase()] ?? 0)
  if (!(size < 2 ** 63)) throw invalid(`invalid value for ${key}: ${text}`)
  return Math.trunc(size)
}

function misplaced(key: string, type: MountType): CairnError {
  return invalid(`unexpected key '${key}' for mount type '${type}'`)
}

function invalid(message: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', message)
}
