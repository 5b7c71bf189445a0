import { listContainerRecords } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { listImageRecords } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { overlayObstacle } from '../../linux/overlay.ts'
import { systemProgram } from '../../linux/system-program.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isRootless, ownNamespace } from '../../rootless/namespace.ts'
import { cgroupLayout } from '../../runtime/cgroups.ts'
import { detectRuntime } from '../../runtime/runtime.ts'
import { isCairnError } from '../../errors/error.ts'

/** What Cairn is and finds on this machine, under the names of docker's `info` (Engine API, SystemInfo). */
export interface SystemInfo {
  readonly ID: string
  readonly Containers: number
  readonly ContainersRunning: number
  readonly ContainersPaused: number
  readonly ContainersStopped: number
  readonly Images: number
  readonly Driver: 'overlayfs'
  readonly DriverStatus: readonly (readonly [string, string])[]
  readonly CgroupDriver: 'cgroupfs' | 'none'
  /** Empty where no cgroups are mounted. */
  readonly CgroupVersion: '1' | '2' | ''
  readonly KernelVersion: string
  readonly OperatingSystem: string
  readonly OSVersion: string
  readonly OSType: string
  /** As `uname -m` says it. */
  readonly Architecture: string
  readonly IndexServerAddress: string
  readonly NCPU: number
  /** Bytes. */
  readonly MemTotal: number
  /** The store. */
  readonly DockerRootDir: string
  readonly Name: string
  readonly Labels: readonly string[]
  readonly ServerVersion: string
  /** Path of each runtime by its name. */
  readonly Runtimes: Readonly<Record<string, { readonly path: string }>>
  /** Empty where there is none. */
  readonly DefaultRuntime: string
  readonly SecurityOptions: readonly string[]
  /** What does not work here, one sentence each. */
  readonly Warnings: readonly string[]
}

const machines: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64', ia32: 'i686', arm: 'armv7l' }

/** Looks at the store and the machine. `version` is Cairn's. */
export function systemInfo(store: Store, version: string): SystemInfo {
  recoverContainers(store)
  const containers = listContainerRecords(store)
  const running = containers.filter(({ state }) => state === 'running' || state === 'restarting').length
  const paused = containers.filter(({ state }) => state === 'paused').length
  const { runtimes, missing } = findRuntimes()
  const obstacle = overlayObstacle(store.session.directory)
  const cgroups = cgroupLayout()
  const release = osRelease()
  const withoutRoot = isRootless() || process.getuid?.() !== 0
  return {
    ID: store.root,
    Containers: containers.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: containers.length - running - paused,
    Images: new Set(listImageRecords(store).map(({ imageId }) => imageId)).size,
    Driver: 'overlayfs',
    DriverStatus: [
      ['Backing Filesystem', fileSystemOf(store.root)],
      ['Mounts', obstacle === undefined ? 'overlay' : 'none'],
    ],
    CgroupDriver: cgroups === 'none' || withoutRoot ? 'none' : 'cgroupfs',
    CgroupVersion: cgroups === 'none' ? '' : cgroups === 'v2' ? '2' : '1',
    KernelVersion: line('/proc/sys/kernel/osrelease'),
    OperatingSystem: release('PRETTY_NAME') || process.platform,
    OSVersion: release('VERSION_ID'),
    OSType: process.platform,
    Architecture: machines[process.arch] ?? process.arch,
    IndexServerAddress: 'https://index.docker.io/v1/',
    NCPU: navigator.hardwareConcurrency,
    MemTotal: totalMemory(),
    DockerRootDir: store.root,
    Name: line('/proc/sys/kernel/hostname'),
    Labels: [],
    ServerVersion: version,
    Runtimes: Object.fromEntries(runtimes.map(({ name, path }) => [name, { path }])),
    DefaultRuntime: runtimes[0]?.name ?? '',
    SecurityOptions: ['name=seccomp,profile=builtin', ...(withoutRoot ? ['name=rootless'] : [])],
    Warnings: [
      ...missing,
      ...(obstacle === undefined ? [] : [`RUN steps and containers cannot work here: ${obstacle.message}`]),
      ...(cgroups === 'none' ? ['containers cannot be limited: no cgroups are mounted'] : []),
      ...(isRootless() ? rootlessWarnings() : []),
    ],
  }
}

/** What root could do and this user cannot. */
function rootlessWarnings(): string[] {
  const { single } = ownNamespace()
  const hasPasta = systemProgram('pasta') !== undefined
  return [
    'containers cannot be limited or paused: without root Cairn makes no cgroups',
    ...(single === undefined ? [] : [`files and processes can be of one user only: ${single}`]),
    ...(hasPasta
      ? []
      : ['containers have no networks but host and none: pasta is not installed (apt-get install passt)']),
  ]
}

/** The runtimes there are, the one that is used first. */
function findRuntimes(): {
  readonly runtimes: readonly { readonly name: string; readonly path: string }[]
  readonly missing: readonly string[]
} {
  const missing: string[] = []
  const runtimes = (['crun', 'runc'] as const).flatMap((name) => {
    try {
      return [detectRuntime(name)]
    } catch (error) {
      if (!isCairnError(error, 'RUNTIME_MISSING')) throw error
      return []
    }
  })
  if (runtimes.length === 0)
    missing.push('RUN steps and containers cannot work here: neither crun nor runc is installed')
  return { runtimes, missing }
}

/** The first line of a small file. */
function line(path: string): string {
  return (readTextFile(path) ?? '').split('\n')[0] ?? ''
}

/** Looks up fields of os-release(5); '' for what it does not have. */
function osRelease(): (name: string) => string {
  const text = readTextFile('/etc/os-release') ?? readTextFile('/usr/lib/os-release') ?? ''
  return (name) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? ''
}

function totalMemory(): number {
  const kibibytes = /^MemTotal:\s*(\d+) kB/m.exec(readTextFile('/proc/meminfo') ?? '')?.[1]
  return Number(kibibytes ?? 0) * 1024
}

/** The type of the file system that holds `path`, by proc_pid_mountinfo(5); `unknown` where that does not say. */
function fileSystemOf(path: string): string {
  let best = { length: -1, type: 'unknown' }
  for (const mount of (readTextFile('/proc/self/mountinfo') ?? '').split('\n')) {
    const [before = '', after = ''] = mount.split(' - ')
    const point = (before.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const directory = point === '/' ? '/' : `${point}/`
    // Of mounts on one point the last one is on top.
    if (point !== '' && `${path}/`.startsWith(directory) && directory.length >= best.length)
      best = { length: directory.length, type: after.split(' ')[0] ?? 'unknown' }
  }
  return best.type
}
