import { CairnError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { canReserveRealtime } from '../../runtime/cgroups.ts'
import type { CgroupLimits } from '../../runtime/spec.ts'
import { invalidArgument } from '../flag-argument.ts'
import type { FlagDefinitions, FlagValues } from '../flags.ts'
import { parseByteSize } from '../units.ts'

/** What limits the resources of a container, as `run`, `create` and `update` take it. */
export const limitFlags = {
  'blkio-weight': {
    type: 'int',
    summary: 'Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)',
  },
  'cpu-period': { type: 'int', summary: 'Limit CPU CFS (Completely Fair Scheduler) period' },
  'cpu-quota': { type: 'int', summary: 'Limit CPU CFS (Completely Fair Scheduler) quota' },
  'cpu-rt-period': { type: 'int', summary: 'Limit CPU real-time period in microseconds' },
  'cpu-rt-runtime': { type: 'int', summary: 'Limit CPU real-time runtime in microseconds' },
  'cpu-shares': { type: 'int', short: 'c', summary: 'CPU shares (relative weight)' },
  cpus: { type: 'decimal', summary: 'Number of CPUs' },
  'cpuset-cpus': { type: 'string', summary: 'CPUs in which to allow execution (0-3, 0,1)' },
  'cpuset-mems': { type: 'string', summary: 'MEMs in which to allow execution (0-3, 0,1)' },
  memory: { type: 'bytes', short: 'm', summary: 'Memory limit' },
  'memory-reservation': { type: 'bytes', summary: 'Memory soft limit' },
  'memory-swap': {
    type: 'string',
    value: 'bytes',
    summary: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
  },
  'pids-limit': { type: 'int', summary: 'Tune container pids limit (set -1 for unlimited)' },
} as const satisfies FlagDefinitions

/** Limits that are only set when a container is made. */
export const creationLimitFlags = {
  ...limitFlags,
  'memory-swappiness': { type: 'int', summary: 'Tune container memory swappiness (0 to 100)', default: -1 },
  'oom-kill-disable': { type: 'bool', summary: 'Disable OOM Killer' },
} as const satisfies FlagDefinitions

const minimumMemory = 6 << 20

/** The limits asked for, undefined where there are none; 0 is none. Throws USAGE, in docker's words. */
export function parseLimits(
  flags: FlagValues<typeof limitFlags> & Partial<FlagValues<typeof creationLimitFlags>>,
): CgroupLimits | undefined {
  const swap = parseSwap(flags['memory-swap'])
  const swappiness = flags['memory-swappiness'] ?? -1
  const given: Record<keyof CgroupLimits, CgroupLimits[keyof CgroupLimits]> = {
    memory: flags.memory,
    memorySwap: swap ?? (flags.memory === undefined || flags.memory === 0 ? undefined : flags.memory * 2),
    memoryReservation: flags['memory-reservation'],
    memorySwappiness: swappiness === -1 ? undefined : swappiness,
    disableOomKiller: flags['oom-kill-disable'] === true ? true : undefined,
    cpus: flags.cpus,
    cpuShares: flags['cpu-shares'],
    cpuQuota: flags['cpu-quota'],
    cpuPeriod: flags['cpu-period'],
    cpusetCpus: flags['cpuset-cpus'] || undefined,
    cpusetMems: flags['cpuset-mems'] || undefined,
    pidsLimit: flags['pids-limit'] !== undefined && flags['pids-limit'] < 0 ? -1 : flags['pids-limit'],
    blkioWeight: flags['blkio-weight'],
    cpuRealtimePeriod: flags['cpu-rt-period'],
    cpuRealtimeRuntime: flags['cpu-rt-runtime'],
  }
  const limits = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== 0),
  ) as CgroupLimits
  checkMemory(limits, swap)
  checkCpus(limits)
  checkRealtime(limits)
  checkBlockWeight(limits.blkioWeight)
  if (swappiness < -1 || swappiness > 100)
    throw new CairnError('USAGE', `invalid value: ${swappiness}. Valid memory swappiness range is 0-100`)
  return Object.keys(limits).length === 0 ? undefined : limits
}

/** As {@link parseLimits} for a container that has limits: swap stays as it is unless it is given. */
export function parseUpdatedLimits(flags: FlagValues<typeof limitFlags>): CgroupLimits | undefined {
  const limits = parseLimits(flags)
  if (limits === undefined || flags['memory-swap'] !== undefined) return limits
  const { memorySwap: _derived, ...given } = limits
  return given
}

function parseSwap(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text === '0') return undefined
  if (text === '-1') return -1
  try {
    return parseByteSize(text)
  } catch (error) {
    throw invalidArgument(text, '--memory-swap', error instanceof Error ? error.message : String(error))
  }
}

function checkMemory({ memory, memoryReservation: reservation }: CgroupLimits, swap: number | undefined): void {
  if (memory !== undefined && memory < minimumMemory) throw wrong('Minimum memory limit allowed is 6MB')
  if (memory !== undefined && swap !== undefined && swap > 0 && swap < memory)
    throw wrong('Minimum memoryswap limit should be larger than memory limit, see usage')
  if (memory === undefined && swap !== undefined && swap > 0)
    throw wrong('You should always set the Memory limit when using Memoryswap limit, see usage')
  if (reservation !== undefined && reservation < minimumMemory) throw wrong('Minimum memory reservation allowed is 6MB')
  if (memory !== undefined && reservation !== undefined && memory < reservation)
    throw wrong('Minimum memory limit can not be less than memory reservation limit, see usage')
}

function checkCpus({ cpus, cpuShares, cpuPeriod, cpuQuota, cpusetCpus, cpusetMems }: CgroupLimits): void {
  const available = navigator.hardwareConcurrency
  if (cpus !== undefined && (cpus < 0 || cpus > available))
    throw wrong(`range of CPUs is from 0.01 to ${available.toFixed(2)}, as there are only ${available} CPUs available`)
  if (cpus !== undefined && cpuPeriod !== undefined)
    throw wrong('Conflicting options: Nano CPUs and CPU Period cannot both be set')
  if (cpus !== undefined && cpuQuota !== undefined)
    throw wrong('Conflicting options: Nano CPUs and CPU Quota cannot both be set')
  if (cpuShares !== undefined && cpuShares < 0)
    throw wrong(`invalid CPU shares (${cpuShares}): value must be a positive integer`)
  if (cpuPeriod !== undefined && (cpuPeriod < 1000 || cpuPeriod > 1_000_000))
    throw wrong('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)')
  if (cpuQuota !== undefined && cpuQuota > 0 && cpuQuota < 1000)
    throw wrong('CPU cfs quota can not be less than 1ms (i.e. 1000)')
  checkSet(cpusetCpus, 'cpus', 'CPUs', '/sys/devices/system/cpu/online')
  checkSet(cpusetMems, 'mems', 'memory nodes', '/sys/devices/system/node/online')
}

function checkRealtime({ cpuRealtimePeriod: period, cpuRealtimeRuntime: runtime }: CgroupLimits): void {
  if (period === undefined && runtime === undefined) return
  if (!canReserveRealtime())
    throw new CairnError(
      'NOT_SUPPORTED',
      `Your kernel does not support CPU real-time ${period === undefined ? 'runtime' : 'period'}`,
    )
  if (period !== undefined && runtime !== undefined && runtime > period)
    throw wrong('cpu real-time runtime cannot be higher than cpu real-time period')
}

/** Throws CONFIG_INVALID for a weight that no cgroup can have. */
export function checkBlockWeight(weight: number | undefined): void {
  if (weight !== undefined && weight !== 0 && (weight < 10 || weight > 1000))
    throw wrong('Range of blkio weight is from 10 to 1000')
}

function checkSet(text: string | undefined, kind: string, what: string, path: string): void {
  if (text === undefined) return
  const wanted = membersOf(text)
  if (wanted === undefined) throw wrong(`Invalid value ${text} for cpuset ${kind}: invalid format: ${text}`)
  const online = readTextFile(path)?.trim()
  const available = online === undefined ? undefined : membersOf(online)
  if (available !== undefined && !wanted.isSubsetOf(available))
    throw wrong(`Requested ${what} are not available - requested ${text}, available: ${online}`)
}

const mostCpus = 8192

/** Members of a list like `0-2,7`; undefined for what is none. */
function membersOf(text: string): Set<number> | undefined {
  const members = new Set<number>()
  for (const part of text.split(',')) {
    const [, first, last] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? []
    if (first === undefined || Number(last ?? first) < Number(first)) return undefined
    for (let member = Number(first); member <= Math.min(Number(last ?? first), mostCpus); member++) members.add(member)
  }
  return members
}

function wrong(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}
