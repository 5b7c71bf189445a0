import type { MountRequest } from '../../containers/mounts.ts'
import { parseBind, parsePropagation } from '../../containers/mounts.ts'
import { cleanPath } from '../../dockerfile/path-match.ts'
import { CairnError } from '../../errors/error.ts'
import { invalidArgument } from '../flag-argument.ts'
import { parseCommaSeparated } from '../flags.ts'
import { keyValues } from '../key-values.ts'
import { parseByteSize } from '../units.ts'

/** The mounts that `--volume`, `--mount` and `--tmpfs` ask for. Throws USAGE, CONFIG_INVALID, NOT_SUPPORTED. */
export function parseMountFlags(
  flags: { readonly volume: readonly string[]; readonly mount: readonly string[]; readonly tmpfs: readonly string[] },
  cwd: string,
): MountRequest[] {
  return [
    ...[...new Set(flags.volume)].map((text) => parseVolume(text, cwd)),
    ...flags.mount.map((text) => parseMount(text, cwd)),
    ...[...new Set(flags.tmpfs)].map(parseTmpfs),
  ]
}

/** As {@link parseBind}; a source that begins with a dot is relative to the working directory. */
function parseVolume(text: string, cwd: string): MountRequest {
  if (text === '') throw new CairnError('CONFIG_INVALID', 'invalid empty volume spec')
  const isRelative = text.startsWith('.') && text.includes(':')
  const bind = parseBind(isRelative ? `${cwd}/${text}` : text)
  return bind.type === 'bind' ? { ...bind, source: cleanPath(bind.source) } : bind
}

const keyNames: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
}
const switches = new Set(['readonly', 'volume-nocopy', 'bind-nonrecursive'])
const missing = new Set(['volume-opt', 'image-subpath'])
const known = new Set(
  `type source target readonly consistency bind-propagation bind-nonrecursive bind-recursive volume-driver volume-label
  volume-nocopy volume-subpath tmpfs-size tmpfs-mode`.split(/\s+/),
)

/** One `--mount`: `type=bind,src=/data,dst=/data,readonly`. */
function parseMount(text: string, cwd: string): MountRequest {
  const wrong = (reason: string): CairnError => invalidArgument(text, '--mount', reason)
  const fields = mountFields(text, wrong)
  const target = fields.get('target')
  if (target === undefined) throw wrong('target is required')
  const type = (fields.get('type') ?? 'volume').toLowerCase()
  checkFieldsOf(type, fields, wrong)
  const source = fields.get('source')
  const readonly = truth(fields, 'readonly', wrong)
  switch (type) {
    case 'bind':
      return bindRequest(source ?? '', target, readonly, fields, cwd, wrong)
    case 'volume':
      return volumeRequest(source, target, readonly, fields, wrong)
    case 'tmpfs': {
      if (source !== undefined) throw badMount(type, 'field Source must not be specified')
      const size = fields.get('tmpfs-size')
      const mode = fields.get('tmpfs-mode')
      return {
        type,
        target,
        readonly,
        ...(size === undefined ? {} : { size: sizeOf(size, 'tmpfs-size', wrong) }),
        ...(mode === undefined ? {} : { mode: modeOf(mode, 'tmpfs-mode', wrong) }),
      }
    }
    case 'image':
      throw new CairnError('NOT_SUPPORTED', `--mount type=${type} is not supported yet`)
    default:
      throw badMount(type, 'mount type unknown')
  }
}

type Wrong = (reason: string) => CairnError

function mountFields(text: string, wrong: Wrong): Map<string, string> {
  const fields = new Map<string, string>()
  for (const field of mountItems(text, wrong)) {
    const equals = field.indexOf('=')
    const given = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const key = keyNames[given] ?? given
    if (equals < 0 && !switches.has(key)) throw wrong(`invalid field '${field}' must be a key=value pair`)
    if (missing.has(key)) throw new CairnError('NOT_SUPPORTED', `${key} of --mount is not supported yet`)
    if (!known.has(key)) throw wrong(`unexpected key '${given}' in '${field}'`)
    const value = equals < 0 ? 'true' : field.slice(equals + 1)
    // The one field that may be there several times: its values are kept with a byte between them that none can hold.
    const before = key === 'volume-label' ? fields.get(key) : undefined
    fields.set(key, before === undefined ? value : `${before}\0${value}`)
  }
  return fields
}

function mountItems(text: string, wrong: Wrong): readonly string[] {
  try {
    return parseCommaSeparated(text)
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error))
  }
}

function checkFieldsOf(type: string, fields: ReadonlyMap<string, string>, wrong: Wrong): void {
  for (const key of fields.keys()) {
    const [owner, option] = key.split('-')
    if (option === undefined || owner === type) continue
    throw wrong(`cannot mix '${owner}-*' options with mount type '${type}'`)
  }
}

function truth(fields: ReadonlyMap<string, string>, key: string, wrong: Wrong): boolean {
  const value = fields.get(key) ?? 'false'
  if (/^(?:1|t|true)$/i.test(value)) return true
  if (/^(?:0|f|false)$/i.test(value)) return false
  throw wrong(`invalid value for ${key}: ${value}`)
}

function bindRequest(
  source: string,
  target: string,
  readonly: boolean,
  fields: ReadonlyMap<string, string>,
  cwd: string,
  wrong: Wrong,
): MountRequest {
  const propagation = fields.get('bind-propagation')
  const below = fields.get('bind-recursive') ?? 'enabled'
  if (!['enabled', 'disabled', 'writable', 'readonly'].includes(below))
    throw wrong(`invalid value for bind-recursive: ${below} (must be "enabled", "disabled", "writable", or "readonly")`)
  const isRestricted = below === 'writable' || below === 'readonly'
  const needs = (what: string): CairnError =>
    wrong(`option 'bind-recursive=${below}' requires '${what}' to be specified in conjunction`)
  if (isRestricted && !readonly) throw needs('readonly')
  if (below === 'readonly' && propagation !== 'rprivate') throw needs('bind-propagation=rprivate')
  return {
    type: 'bind',
    source: /^\.{1,2}(?:\/|$)/.test(source) ? cleanPath(`${cwd}/${source}`) : source,
    target,
    readonly,
    recursive: below !== 'disabled' && !truth(fields, 'bind-nonrecursive', wrong),
    ...(propagation === undefined ? {} : { propagation: parsePropagation(propagation) }),
    ...(isRestricted ? { below } : {}),
  }
}

function volumeRequest(
  source: string | undefined,
  target: string,
  readonly: boolean,
  fields: ReadonlyMap<string, string>,
  wrong: Wrong,
): MountRequest {
  const driver = fields.get('volume-driver') ?? 'local'
  if (driver !== 'local')
    throw new CairnError('NOT_SUPPORTED', `error looking up volume plugin ${driver}: plugin "${driver}" not found`)
  const labels = fields.get('volume-label')?.split('\0')
  const subpath = fields.get('volume-subpath')
  return {
    type: 'volume',
    ...(source === undefined || source === '' ? {} : { name: source }),
    target,
    readonly,
    copy: !truth(fields, 'volume-nocopy', wrong),
    ...(subpath === undefined || subpath === '' ? {} : { subpath }),
    ...(labels === undefined ? {} : { labels: Object.fromEntries(keyValues(labels, 'volume-label')) }),
  }
}

function sizeOf(text: string, key: string, wrong: Wrong): number {
  try {
    return parseByteSize(text)
  } catch {
    throw wrong(`invalid value for ${key}: ${text}`)
  }
}

function modeOf(text: string, key: string, wrong: Wrong): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw wrong(`invalid value for ${key}: ${text}`)
  return Number.parseInt(text, 8)
}

/** One `--tmpfs`: `/run` or `/run:size=64m,mode=755,exec`. */
function parseTmpfs(text: string): MountRequest {
  const colon = text.indexOf(':')
  const target = colon < 0 ? text : text.slice(0, colon)
  if (!target.startsWith('/'))
    throw new CairnError('CONFIG_INVALID', `invalid mount path: '${target}' mount path must be absolute`)
  const mount: { -readonly [Key in keyof TmpfsRequest]: TmpfsRequest[Key] } = { type: 'tmpfs', target }
  for (const option of colon < 0 ? [] : text.slice(colon + 1).split(',')) setTmpfsOption(mount, option)
  return mount
}

type TmpfsRequest = Extract<MountRequest, { type: 'tmpfs' }>

function setTmpfsOption(mount: { -readonly [Key in keyof TmpfsRequest]: TmpfsRequest[Key] }, option: string): void {
  const wrong: Wrong = () => new CairnError('CONFIG_INVALID', `invalid tmpfs option ${JSON.stringify(option)}`)
  const equals = option.indexOf('=')
  const value = equals < 0 ? undefined : option.slice(equals + 1)
  switch (equals < 0 ? option : option.slice(0, equals)) {
    case '':
    case 'rw':
    case 'nosuid':
    case 'nodev':
      return
    case 'ro':
      mount.readonly = true
      return
    case 'exec':
      mount.exec = true
      return
    case 'noexec':
      mount.exec = false
      return
    case 'size':
      mount.size = sizeOf(value ?? '', 'size', wrong)
      return
    case 'mode':
      mount.mode = modeOf(value ?? '', 'mode', wrong)
      return
    case 'uid':
      mount.uid = idOf(value ?? '', wrong)
      return
    case 'gid':
      mount.gid = idOf(value ?? '', wrong)
      return
    default:
      throw wrong('')
  }
}

function idOf(text: string, wrong: Wrong): number {
  if (!/^\d{1,10}$/.test(text)) throw wrong('')
  return Number(text)
}

function badMount(type: string, reason: string): CairnError {
  return new CairnError('CONFIG_INVALID', `invalid mount config for type "${type}": ${reason}`)
}
