import { tryListDirectory } from '../linux/directories.ts'
import { readTextFile } from '../linux/text-file.ts'
import { cgroupLayout, cgroupRoot, withHostCgroups } from '../runtime/cgroups.ts'
import type { Container } from './container.ts'

/** What the processes of a cgroup have used and may use. Sizes are bytes. */
export interface CgroupUsage {
  /** Nanoseconds of processor time. */
  readonly cpu: number
  /** Without what could be given back at once. */
  readonly memory: number
  /** The machine's where there is no limit. */
  readonly memoryLimit: number
  readonly pids: number
  readonly blockRead: number
  readonly blockWritten: number
}

/** The cgroup of a container that runs; undefined where it has none of its own. */
function cgroupOf({ run }: Container): string | undefined {
  return run?.cgroup ?? undefined
}

/** Numbers of the processes of a container by its cgroup; undefined where it has none of its own. */
export function processesInCgroup(container: Container): number[] | undefined {
  const path = cgroupOf(container)
  if (path === undefined) return undefined
  return withHostCgroups(() => {
    const hierarchy = cgroupLayout() === 'v2' ? cgroupRoot : `${cgroupRoot}/pids`
    return processesBelow(`${hierarchy}${path}`)
  })
}

function processesBelow(directory: string): number[] {
  const own = (readTextFile(`${directory}/cgroup.procs`) ?? '').split('\n').filter(Boolean).map(Number)
  const below = tryListDirectory(directory).flatMap(({ name, type }) =>
    type === 'directory' ? processesBelow(`${directory}/${name}`) : [],
  )
  return [...own, ...below]
}

/** Reads what a container uses; undefined where it has no cgroup of its own or has ended. */
export function cgroupUsage(container: Container): CgroupUsage | undefined {
  const path = cgroupOf(container)
  if (path === undefined) return undefined
  return withHostCgroups(() => (cgroupLayout() === 'v2' ? usageOfV2(`${cgroupRoot}${path}`) : usageOfV1(path)))
}

function usageOfV2(directory: string): CgroupUsage | undefined {
  const current = numberIn(`${directory}/memory.current`)
  const cpu = valueIn(`${directory}/cpu.stat`, 'usage_usec')
  if (current === undefined && cpu === undefined) return undefined
  const io = (readTextFile(`${directory}/io.stat`) ?? '').split('\n')
  const sum = (key: string): number =>
    io.reduce((total, line) => total + Number(new RegExp(`\\b${key}=(\\d+)`).exec(line)?.[1] ?? 0), 0)
  return {
    cpu: (cpu ?? 0) * 1000,
    memory: (current ?? 0) - (valueIn(`${directory}/memory.stat`, 'inactive_file') ?? 0),
    memoryLimit: bounded(numberIn(`${directory}/memory.max`)),
    pids: numberIn(`${directory}/pids.current`) ?? 0,
    blockRead: sum('rbytes'),
    blockWritten: sum('wbytes'),
  }
}

function usageOfV1(path: string): CgroupUsage | undefined {
  const of = (controller: string, file: string): string => `${cgroupRoot}/${controller}${path}/${file}`
  const used = numberIn(of('memory', 'memory.usage_in_bytes'))
  const cpu = numberIn(of('cpuacct', 'cpuacct.usage'))
  if (used === undefined && cpu === undefined) return undefined
  const io = (readTextFile(of('blkio', 'blkio.throttle.io_service_bytes_recursive')) ?? '').split('\n')
  const sum = (operation: string): number =>
    io.reduce((total, line) => total + Number(new RegExp(`^\\S+ ${operation} (\\d+)$`).exec(line)?.[1] ?? 0), 0)
  return {
    cpu: cpu ?? 0,
    memory: (used ?? 0) - (valueIn(of('memory', 'memory.stat'), 'total_inactive_file') ?? 0),
    memoryLimit: bounded(numberIn(of('memory', 'memory.limit_in_bytes'))),
    pids: numberIn(of('pids', 'pids.current')) ?? 0,
    blockRead: sum('Read'),
    blockWritten: sum('Write'),
  }
}

function numberIn(path: string): number | undefined {
  const text = readTextFile(path)?.trim()
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text)
}

function valueIn(path: string, key: string): number | undefined {
  const line = readTextFile(path)
    ?.split('\n')
    .find((one) => one.startsWith(`${key} `))
  return line === undefined ? undefined : Number(line.slice(key.length + 1))
}

/** A limit, but no more than the machine has. */
function bounded(limit: number | undefined): number {
  const total = Number(/^MemTotal:\s*(\d+) kB$/m.exec(readTextFile('/proc/meminfo') ?? '')?.[1] ?? 0) * 1024
  return limit === undefined ? total : Math.min(limit, total)
}
