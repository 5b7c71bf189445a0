import type { ContainerRequest } from '../../containers/settings.ts'
import { CairnError } from '../../errors/error.ts'
import { parseSignal } from '../../linux/signals.ts'
import type { containerFlags } from './container-flags.ts'
import type { CommandContext } from '../context.ts'
import { parseEnvFlags, readLabelFile } from './env-flags.ts'
import { invalidArgument } from '../flag-argument.ts'
import type { FlagValues } from '../flags.ts'
import { parseHealthcheck } from './health-flags.ts'
import { keyValues } from '../key-values.ts'
import { parseLimits } from './limit-flags.ts'
import {
  parseCgroupns,
  parseExposed,
  parseIpc,
  parseLinks,
  parseOomScore,
  parsePid,
  parseRestartPolicy,
  parseSysctls,
  parseUts,
  runtimeName,
} from './container-flag-values.ts'
import { parseDns } from './dns-flags.ts'
import { parseDevice, parseDeviceRules, parseDeviceWeights, parseThrottles } from './device-flags.ts'
import { parseLogging } from './log-flags.ts'
import { attachedStreams } from './attached-streams.ts'
import { parseNetworkFlags } from './network-flags.ts'
import { parseMountFlags } from './mount-flags.ts'
import { parseSecurityOptions } from './security-flags.ts'
import { isAddress } from './host-addresses.ts'
import { parseUserns } from './userns-flag.ts'
import { parseUlimits } from './ulimit-flags.ts'

/** What the flags of `run` read as. */
export type ContainerFlagValues = FlagValues<typeof containerFlags>

/** What the command line asks for. Texts of errors are docker's. Throws USAGE, CONFIG_INVALID, NOT_SUPPORTED. */
export function parseContainerRequest(
  ctx: CommandContext,
  flags: ContainerFlagValues,
  command: readonly string[],
): ContainerRequest {
  const network = parseNetworkFlags(ctx, flags)
  const security = parseSecurityOptions(flags['security-opt'], ctx.cwd)
  if (security.writableCgroups === true && flags.cgroupns === 'host' && !flags.privileged)
    throw new CairnError('CONFIG_INVALID', 'conflicting options: writable cgroups and the cgroup namespace of the host')
  const published = (network.ports ?? []).map(({ port, protocol }) => `${port}/${protocol}`)
  const exposed = [...(parseExposed(flags.expose) ?? []), ...published]
  const optional = {
    name: flags.name === '' ? undefined : flags.name,
    entrypoint: flags.entrypoint === undefined ? undefined : flags.entrypoint === '' ? [] : [flags.entrypoint],
    workingDirectory: flags.workdir === '' ? undefined : flags.workdir,
    user: flags.user === '' ? undefined : flags.user,
    hostname: flags.hostname === '' ? undefined : flags.hostname,
    stopSignal: flags['stop-signal'] === undefined ? undefined : checkedSignal(flags['stop-signal']),
    shmSize: flags['shm-size'] === 0 ? undefined : flags['shm-size'],
    healthcheck: parseHealthcheck(flags),
    restart: parseRestartPolicy(flags.restart, flags.rm),
    stopTimeout: flags['stop-timeout'],
    volumesFrom: flags['volumes-from'].length === 0 ? undefined : flags['volumes-from'],
    log: parseLogging(flags['log-driver'], flags['log-opt']),
    limits: parseLimits(flags),
    init: flags.init ? true : undefined,
    ipc: parseIpc(flags.ipc),
    pid: parsePid(flags.pid),
    uts: parseUts(flags),
    userns: parseUserns(flags.userns, ctx.env),
    domainname: flags.domainname === '' ? undefined : flags.domainname,
    sysctls: parseSysctls(flags.sysctl),
    devices: flags.device.length === 0 ? undefined : flags.device.map(parseDevice),
    throttles: parseThrottles(flags),
    weightDevices: parseDeviceWeights(flags['blkio-weight-device']),
    cgroupns: parseCgroupns(flags.cgroupns),
    links: parseLinks(flags.link),
    deviceRules: parseDeviceRules(flags['device-cgroup-rule']),
    oomScoreAdj: parseOomScore(flags['oom-score-adj']),
    cgroupParent: flags['cgroup-parent'] === '' ? undefined : flags['cgroup-parent'],
    annotations: parseAnnotations(flags.annotation),
    exposedPorts: exposed.length === 0 ? undefined : exposed,
    attached: attachedStreams(flags),
    runtime: flags.runtime === undefined ? undefined : runtimeName(flags.runtime),
  }
  return {
    ...withoutUndefined(optional),
    command,
    env: parseEnvFlags(flags['env-file'], flags.env, ctx.env),
    groups: flags['group-add'],
    labels: parseLabels([...flags['label-file'].flatMap(readLabelFile), ...flags.label]),
    tty: flags.tty,
    openStdin: flags.interactive,
    mounts: parseMountFlags(flags, ctx.cwd),
    ...network,
    extraHosts: flags['add-host'].map(parseHost),
    dns: parseDns(flags),
    readonlyRootfs: flags['read-only'],
    privileged: flags.privileged,
    capAdd: flags['cap-add'],
    capDrop: flags['cap-drop'],
    ...security,
    ulimits: parseUlimits(flags.ulimit),
    autoRemove: flags.rm,
  }
}

type Defined<Fields> = { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> }

function withoutUndefined<Fields extends object>(fields: Fields): Defined<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<Fields>
}

function checkedSignal(text: string): string {
  try {
    parseSignal(text)
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    throw new CairnError('CONFIG_INVALID', `invalid signal: ${text}`)
  }
  return text
}

function parseAnnotations(given: readonly string[]): Readonly<Record<string, string>> | undefined {
  if (given.length === 0) return undefined
  if (given.some((text) => /^(?:=|$)/.test(text)))
    throw new CairnError(
      'CONFIG_INVALID',
      'invalid Annotations: the empty string is not permitted as an annotation key',
    )
  return Object.fromEntries(keyValues(given, 'annotation'))
}

function parseLabels(given: readonly string[]): Readonly<Record<string, string>> {
  for (const label of given) {
    const [name = ''] = label.split('=', 1)
    const wrong = (reason: string): CairnError => invalidArgument(label, '-l, --label', reason)
    if (name === '') throw wrong(`invalid label '${label}': empty name`)
    if (/\s/.test(name)) throw wrong(`label '${name}' contains whitespaces`)
  }
  return Object.fromEntries(keyValues(given, 'label'))
}

/** `name:address` or `name=address`; `host-gateway` stands for the host, which has another address in each network. */
function parseHost(text: string): { readonly name: string; readonly address: string } {
  const separator = text.search(/[:=]/)
  const name = text.slice(0, separator)
  const address = text.slice(separator + 1).replace(/^\[(.*)\]$/, '$1')
  if (separator <= 0 || address === '')
    throw invalidArgument(text, '--add-host', `bad format for add-host: ${JSON.stringify(text)}`)
  if (address === 'host-gateway') return { name, address }
  if (!isAddress(address))
    throw invalidArgument(text, '--add-host', `invalid IP address in add-host: ${JSON.stringify(address)}`)
  return { name, address }
}
