import { cleanPath } from '../dockerfile/path-match.ts'
import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import type { MountPropagation } from '../runtime/spec.ts'
import type { MountSetting } from './container.ts'

/** A mount as it is asked for, by `-v`, `--mount` or `--tmpfs`. */
export type MountRequest =
  | {
      readonly type: 'bind'
      readonly source: string
      readonly target: string
      readonly readonly?: boolean
      readonly recursive?: boolean
      /** As `-v` has it: a source that is not there becomes a directory. */
      readonly createSource?: boolean
      readonly propagation?: MountPropagation
      /** Of a read-only mount: those below stay as they are, or have to be read-only. */
      readonly below?: 'writable' | 'readonly'
    }
  | {
      readonly type: 'volume'
      /** A volume of its own where no name is given. */
      readonly name?: string
      readonly target: string
      readonly readonly?: boolean
      readonly copy?: boolean
      readonly subpath?: string
      readonly labels?: Readonly<Record<string, string>>
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly readonly?: boolean
      readonly size?: number
      readonly mode?: number
      readonly uid?: number
      readonly gid?: number
      readonly exec?: boolean
    }

const accessModes = new Set(['ro', 'rw'])
/** Mean nothing on Linux, where a bind mount is the host's file. */
const consistencyModes = new Set(['consistent', 'cached', 'delegated', 'default'])
const labelModes = new Set(['z', 'Z'])
const propagations: ReadonlySet<string> = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])

/**
 * What `-v` takes: `target`, `source:target` or `source:target:modes`; an absolute source is a path, any other the name
 * of a volume. Texts of errors are docker's. Throws CONFIG_INVALID.
 */
export function parseBind(text: string): MountRequest {
  const parts = text.split(':')
  const [first = '', second, modes = ''] = parts
  if (parts.some((part) => part === ''))
    throw new CairnError('USAGE', `invalid spec: ${text}: empty section between colons`)
  const isWrong = parts.length > 3 || (parts.length === 2 && isMode(second ?? ''))
  if (isWrong) throw invalid(`invalid volume specification: '${text}'`)
  if (second === undefined) return { type: 'volume', target: first }
  const isPath = first.startsWith('/')
  const { readonly, copy, propagation } = parseModes(modes, text)
  checkTarget(second, isPath ? 'bind' : 'volume', text)
  const wrong = (type: MountRequest['type'], field: string): CairnError =>
    invalid(
      `invalid volume specification: '${text}': invalid mount config for type "${type}": field ${field} must not be specified`,
    )
  if (isPath && !copy) throw wrong('bind', 'VolumeOptions')
  if (!isPath && propagation !== undefined) throw wrong('volume', 'BindOptions')
  if (!isPath) return { type: 'volume', name: first, target: second, readonly, copy }
  const bind = { type: 'bind', source: first, target: second, readonly, createSource: true } as const
  return propagation === undefined ? bind : { ...bind, propagation }
}

/** Of `-v` docker says it with the whole text. */
function checkTarget(target: string, type: MountRequest['type'], spec: string): void {
  const reason = !target.startsWith('/') ? notAbsolute(target) : cleanPath(target) === '/' ? notRoot : undefined
  if (reason !== undefined)
    throw invalid(`invalid volume specification: '${spec}': invalid mount config for type "${type}": ${reason}`)
}

function isMode(text: string): boolean {
  return text.split(',').every((mode) => accessModes.has(mode) || labelModes.has(mode) || propagations.has(mode))
}

interface BindModes {
  readonly readonly: boolean
  readonly copy: boolean
  readonly propagation?: MountPropagation
}

function parseModes(modes: string, spec: string): BindModes {
  const given = modes === '' ? [] : modes.split(',')
  const groups = [accessModes, consistencyModes, labelModes, propagations, new Set(['nocopy'])]
  const isKnown = (mode: string): boolean => groups.some((group) => group.has(mode))
  const isTwice = groups.some((group) => given.filter((mode) => group.has(mode)).length > 1)
  if (isTwice || !given.every(isKnown)) throw invalid(`invalid mode: ${modes}`)
  if (given.some((mode) => labelModes.has(mode))) refuseLabels(spec)
  const propagation = given.find((mode): mode is MountPropagation => propagations.has(mode))
  const parsed = { readonly: given.includes('ro'), copy: !given.includes('nocopy') }
  return propagation === undefined ? parsed : { ...parsed, propagation }
}

/**
 * What `--volumes-from` takes: a container, and after a colon whether what is mounted can be written to. Throws
 * CONFIG_INVALID in docker's words.
 */
export function parseVolumesFrom(text: string): { readonly container: string; readonly readonly: boolean } {
  const colon = text.indexOf(':')
  const container = colon < 0 ? text : text.slice(0, colon)
  if (container === '') throw invalid('malformed volumes-from specification: volumes-from must not be empty')
  return { container, readonly: colon < 0 ? false : parseModes(text.slice(colon + 1), text).readonly }
}

/** Without SELinux there is nothing to label, and docker takes the option then too. */
function refuseLabels(spec: string): void {
  if (tryStat('/sys/fs/selinux/enforce') !== undefined)
    throw new CairnError('NOT_SUPPORTED', `relabelling for SELinux is not supported yet: ${spec}`)
}

/** How mounts travel, by `bind-propagation`. Throws CONFIG_INVALID. */
export function parsePropagation(text: string): MountPropagation {
  if (propagations.has(text)) return text as MountPropagation
  throw invalid(`invalid mount config for type "bind": invalid propagation mode: ${text}`)
}

/**
 * The mounts of a container: those asked for, those of other containers where none of them is, and a volume for each path of the image's VOLUMEs where none of them is;
 * outer ones before those inside them. Texts of errors are docker's. Throws CONFIG_INVALID.
 *
 * @param newName - gives the name of a volume that has none
 */
export function planMounts(
  requests: readonly MountRequest[],
  imageVolumes: readonly string[],
  newName: () => string,
  inherited: readonly MountSetting[] = [],
): MountSetting[] {
  const planned = new Map<string, MountSetting>()
  for (const request of requests) {
    const mount = checkMount(request, newName)
    if (planned.has(mount.target)) throw invalid(`Duplicate mount point: ${mount.target}`)
    planned.set(mount.target, mount)
  }
  for (const mount of inherited) if (!planned.has(mount.target)) planned.set(mount.target, mount)
  for (const path of imageVolumes) {
    const target = cleanPath(`/${path}`)
    if (target === '/' || planned.has(target)) continue
    planned.set(target, {
      type: 'volume',
      name: newName(),
      anonymous: true,
      target,
      readonly: false,
      copy: true,
    })
  }
  return [...planned.values()].toSorted((a, b) => depth(a.target) - depth(b.target))
}

function checkMount(request: MountRequest, newName: () => string): MountSetting {
  const wrong = (reason: string): CairnError => invalid(`invalid mount config for type "${request.type}": ${reason}`)
  if (!request.target.startsWith('/')) throw wrong(notAbsolute(request.target))
  const target = cleanPath(request.target)
  if (target === '/') throw wrong(notRoot)
  const readonly = request.readonly === true
  if (request.type === 'tmpfs') return { ...request, target, readonly }
  if (request.type === 'volume') {
    const { name } = request
    if (name !== undefined) checkVolumeName(name)
    const named = name === undefined ? { name: newName(), anonymous: true } : { name, anonymous: false }
    if (named.anonymous && readonly) throw wrong('must not set ReadOnly mode when using anonymous volumes')
    const { subpath, labels } = request
    if (subpath !== undefined && (subpath.startsWith('/') || subpath.split('/').includes('..')))
      throw wrong('subpath must be a relative path within the volume')
    return {
      type: 'volume',
      ...named,
      target,
      readonly,
      copy: request.copy ?? true,
      ...(subpath === undefined ? {} : { subpath }),
      ...(labels === undefined ? {} : { labels }),
    }
  }
  const { source, recursive = true, createSource = false } = request
  if (source === '') throw wrong('field Source must not be empty')
  if (!source.startsWith('/')) throw wrong(notAbsolute(source))
  if (!createSource && tryStat(source) === undefined) throw wrong(`bind source path does not exist: ${source}`)
  const { propagation, below } = request
  return {
    type: 'bind',
    source,
    target,
    readonly,
    recursive,
    createSource,
    ...(propagation === undefined ? {} : { propagation }),
    ...(below === undefined ? {} : { below }),
  }
}

const notRoot = "invalid specification: destination can't be '/'"

function notAbsolute(path: string): string {
  return `invalid mount path: '${path}' mount path must be absolute`
}

/** Throws CONFIG_INVALID for what cannot be the name of a volume. */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw invalid(`create ${name}: volume name is too short, names should be at least two alphanumeric characters`)
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
    throw invalid(
      `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume name, only ` +
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    )
}

function depth(path: string): number {
  return path.split('/').length
}

function invalid(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}
