import type { LinkSetting, NamespaceMode, RestartPolicy } from '../../containers/container.ts'
import type { ContainerRequest } from '../../containers/settings.ts'
import { CairnError } from '../../errors/error.ts'
import type { OciRuntime } from '../../runtime/runtime.ts'
import { invalidArgument } from '../flag-argument.ts'
import { keyValues } from '../key-values.ts'

/** `--restart`: undefined for `no`. Throws USAGE and CONFIG_INVALID, in docker's words. */
export function parseRestartPolicy(text: string, isRemoved = false): RestartPolicy | undefined {
  const [name = '', ...rest] = text.split(':')
  const retries = rest.join(':')
  if (name === '' && rest.length > 0)
    throw new CairnError('USAGE', 'invalid restart policy format: no policy provided before colon')
  if (retries !== '' && !/^[+-]?\d+$/.test(retries))
    throw new CairnError('USAGE', 'invalid restart policy format: maximum retry count must be an integer')
  const maximumRetries = Number(retries)
  if (isRemoved && name !== '' && name !== 'no')
    throw new CairnError('USAGE', 'conflicting options: cannot specify both --restart and --rm')
  if (name !== '' && name !== 'no' && name !== 'always' && name !== 'on-failure' && name !== 'unless-stopped')
    throw new CairnError(
      'CONFIG_INVALID',
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    )
  if (maximumRetries !== 0 && name !== 'on-failure')
    throw new CairnError(
      'CONFIG_INVALID',
      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    )
  if (maximumRetries < 0)
    throw new CairnError('CONFIG_INVALID', 'invalid restart policy: maximum retry count cannot be negative')
  if (name === '' || name === 'no') return undefined
  return { name, maximumRetries }
}

/** `--ipc`. Throws CONFIG_INVALID. */
export function parseIpc(text: string | undefined): ContainerRequest['ipc'] {
  if (text === undefined || text === '') return undefined
  if (text === 'private' || text === 'host' || text === 'shareable' || text === 'none') return text
  if (isContainerMode(text)) return text
  if (text === 'container:')
    throw new CairnError('CONFIG_INVALID', 'failed to join IPC namespace: invalid name or ID supplied: ""')
  throw new CairnError('CONFIG_INVALID', `invalid IPC mode: ${text}`)
}

/** `--pid`. Throws USAGE. */
export function parsePid(text: string | undefined): NamespaceMode | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'host' || isContainerMode(text)) return text
  throw new CairnError('USAGE', '--pid: invalid PID mode')
}

function isContainerMode(text: string): text is `container:${string}` {
  return /^container:./.test(text)
}

/** `--cgroupns`. Throws USAGE. */
export function parseCgroupns(text: string | undefined): 'private' | 'host' | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'private' || text === 'host') return text
  throw new CairnError('USAGE', '--cgroupns: invalid CGROUP mode')
}

/** `--uts`. Throws USAGE, CONFIG_INVALID. */
export function parseUts(flags: {
  readonly uts: string | undefined
  readonly hostname: string | undefined
}): 'host' | undefined {
  if (flags.uts === undefined || flags.uts === '') return undefined
  if (flags.uts !== 'host') throw new CairnError('USAGE', '--uts: invalid UTS mode')
  if (flags.hostname !== undefined && flags.hostname !== '')
    throw new CairnError('CONFIG_INVALID', 'conflicting options: hostname and the UTS mode')
  return 'host'
}

/** `--link`: `container[:alias]`. Throws USAGE, in docker's words. */
export function parseLinks(given: readonly string[]): readonly LinkSetting[] | undefined {
  if (given.length === 0) return undefined
  return given.map((text) => {
    const [name = '', alias = name, ...more] = text.split(':')
    const wrong = (reason: string): CairnError => invalidArgument(text, '--link', reason)
    if (text === '') throw wrong('empty string specified for links')
    if (more.length > 0) throw wrong(`bad format for links: ${text}`)
    return { name: name.replace(/^\//, ''), alias: alias.replace(/^.*\//, '') }
  })
}

const sysctlNames =
  /^(?:kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|net\..+|fs\.mqueue\..+)$/

/** `--sysctl`: only those of namespaces. Throws USAGE. */
export function parseSysctls(given: readonly string[]): Readonly<Record<string, string>> | undefined {
  if (given.length === 0) return undefined
  for (const text of given)
    if (!text.includes('=') || !sysctlNames.test(text.slice(0, text.indexOf('='))))
      throw invalidArgument(text, '--sysctl', `sysctl '${text}' is not allowed`)
  return Object.fromEntries(keyValues(given, 'sysctl'))
}

/** `--oom-score-adj`: undefined for 0. Throws CONFIG_INVALID. */
export function parseOomScore(value: number): number | undefined {
  if (value < -1000 || value > 1000)
    throw new CairnError('CONFIG_INVALID', `Invalid value ${value}, range for oom score adj is [-1000, 1000]`)
  return value === 0 ? undefined : value
}

const highestPort = 65_535

/** `--expose`: `80`, `80/udp`, `80-90`. Throws USAGE. */
export function parseExposed(given: readonly string[]): readonly string[] | undefined {
  if (given.length === 0) return undefined
  return given.flatMap((text) => {
    const wrong = (reason: string): CairnError =>
      new CairnError('USAGE', `invalid range format for --expose: ${text}, error: ${reason}`)
    const [range = '', protocol = 'tcp'] = text.split('/')
    const ends = range.split('-', 2).map((end) => {
      if (/^\d+$/.test(end) && Number(end) <= highestPort) return Number(end)
      const reason = /^\d+$/.test(end) ? 'value out of range' : 'invalid syntax'
      throw wrong(`strconv.ParseUint: parsing ${JSON.stringify(end)}: ${reason}`)
    })
    const [first = 0, last = first] = ends
    if (last < first) throw wrong(`invalid range specified for port: ${range}`)
    return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`)
  })
}

/** `--runtime`. Throws USAGE. */
export function runtimeName(name: string): OciRuntime['name'] {
  if (name === 'crun' || name === 'runc') return name
  throw new CairnError('USAGE', `unknown or invalid runtime name: ${name}`, { hint: 'Runtimes are crun and runc.' })
}
