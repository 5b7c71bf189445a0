import { defaultPath } from '../oci/config.ts'
import { CairnError } from '../errors/error.ts'
import {
  type RuntimeDevice,
  type RuntimeDeviceRule,
  type RuntimeDeviceWeight,
  type RuntimeLimit,
  type RuntimeMount,
  type RuntimeNamespace,
  type RuntimeResources,
  type RuntimeSpec,
  type RuntimeThrottle,
  type RuntimeUser,
  runtimeSpecVersion,
} from '../oci/runtime-spec.ts'
import { hostPlatform } from '../oci/platform.ts'
import { defaultCapabilities, heldCapabilities } from './capabilities.ts'
import { defaultSeccomp } from './seccomp.ts'
import { profileFilter, type SeccompProfile } from './seccomp-profile.ts'

/** mount_namespaces(7); with an `r` it is said of mounts below, too. */
export type MountPropagation = 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'

/** A mount beside those every container has. */
export type ContainerMount =
  | {
      readonly type: 'bind'
      /** Existing directory or file of the host. */
      readonly source: string
      readonly target: string
      readonly readonly?: boolean
      /** Mounts below the source come along; true unless told otherwise. */
      readonly recursive?: boolean
      /** Mounts below the source are read-only too, where the mount is; Linux 5.12. */
      readonly deeplyReadonly?: boolean
      /** How mounts made later travel between the two sides; `rprivate`, not at all, if absent. */
      readonly propagation?: MountPropagation
      /** Nothing in it can be run. */
      readonly inert?: boolean
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly readonly?: boolean
      /** Upper bound in bytes. */
      readonly size?: number
      /** Permission bits of its root, 0o1777 by default. */
      readonly mode?: number
      /** Owner of its root. */
      readonly uid?: number
      readonly gid?: number
      /** Programs in it can be run, which docker's tmpfs does not allow by itself. */
      readonly exec?: boolean
    }

/** Files of the host that the container gets as /etc/resolv.conf, /etc/hosts and /etc/hostname. */
export interface NetworkFiles {
  readonly resolvConf?: string
  readonly hosts?: string
  readonly hostname?: string
}

/** What the processes of a cgroup may use. */
export interface CgroupLimits {
  /** Bytes of memory; swap is not added to it. */
  readonly memory?: number
  /** Bytes of memory and swap together, -1 for any. */
  readonly memorySwap?: number
  /** Bytes that are left to it when memory is short. */
  readonly memoryReservation?: number
  /** 0 to 100: how readily its memory is swapped out. */
  readonly memorySwappiness?: number
  readonly disableOomKiller?: boolean
  /** Processors, also in parts: 1.5. */
  readonly cpus?: number
  /** Weight among others, 1024 by default. */
  readonly cpuShares?: number
  /** Microseconds of {@link cpuPeriod} that it may use. */
  readonly cpuQuota?: number
  /** Microseconds. */
  readonly cpuPeriod?: number
  /** Lists like `0-2,7`. */
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  /** Processes and threads, -1 for any. */
  readonly pidsLimit?: number
  /** Microseconds of {@link cpuRealtimePeriod} that processes of a real-time class may use. */
  readonly cpuRealtimeRuntime?: number
  /** Microseconds. */
  readonly cpuRealtimePeriod?: number
  /** 10 to 1000. */
  readonly blkioWeight?: number
}

/** A cgroup of the container's own and what it may use. */
export interface CgroupOptions extends CgroupLimits {
  /** Path in the hierarchy, for example `/cairn-<id>`. */
  readonly path: string
  /** How fast devices may be read and written. */
  readonly throttles?: readonly ({ readonly kind: ThrottleKind } & RuntimeThrottle)[]
  /** Weights for devices that have others than the rest. */
  readonly weightDevices?: readonly RuntimeDeviceWeight[]
  /** Devices that may be used besides those that are there. */
  readonly deviceRules?: readonly RuntimeDeviceRule[]
}

/** What of a device is limited: bytes or operations, in one direction. */
export type ThrottleKind = 'ReadBps' | 'WriteBps' | 'ReadIOPS' | 'WriteIOPS'

/** `host`, or an existing namespace as a file of /proc/PID/ns. */
export type NamespaceJoin = 'host' | { readonly path: string }

/** Namespaces that a container does not have for itself. */
export interface NamespaceJoins {
  readonly cgroup?: 'host'
  readonly pid?: NamespaceJoin
  readonly ipc?: NamespaceJoin
  readonly uts?: NamespaceJoin
}

/** A device file and what may be done with it: letters of `rwm`, all of them where it is absent. */
export interface AllowedDevice extends RuntimeDevice {
  readonly access?: string
}

/** What to run and in what surroundings. Everything left out is as docker has it. */
export interface ContainerOptions {
  /** The root file system, an existing directory. */
  readonly rootfs: string
  readonly readonlyRootfs?: boolean
  readonly args: readonly string[]
  /** `KEY=value`; PATH, HOME (and TERM with a terminal) are added where they are missing. */
  readonly env: readonly string[]
  /** Absolute; made when it is not there. */
  readonly cwd: string
  readonly user?: RuntimeUser
  /** Value of HOME where `env` has none, `/` if absent. */
  readonly home?: string
  readonly hostname: string
  readonly terminal?: boolean
  /** Names like `CAP_CHOWN`, {@link defaultCapabilities} if absent. */
  readonly capabilities?: readonly string[]
  readonly seccomp?: 'default' | 'unconfined' | SeccompProfile
  /** A profile that the kernel has loaded. */
  readonly apparmorProfile?: string
  /** Every capability, device and path, no filter. `capabilities`, where given, still decides. */
  readonly privileged?: boolean
  /** No path of /proc or /sys is hidden or read-only. */
  readonly unmasked?: boolean
  /** The container may make cgroups below its own. */
  readonly writableCgroups?: boolean
  /** The capabilities are there for an ordinary user too. */
  readonly ambientCapabilities?: boolean
  readonly noNewPrivileges?: boolean
  /** `none` has only a loopback device; `path` is an existing network namespace. */
  readonly network: 'host' | 'none' | { readonly path: string }
  /** Namespaces of the host or of another container in place of new ones. */
  readonly joins?: NamespaceJoins
  readonly networkFiles?: NetworkFiles
  readonly mounts?: readonly ContainerMount[]
  /** There is no /dev/shm. */
  readonly noShm?: boolean
  /** Bytes of /dev/shm, 64 MiB by default; that of the host is as it is. */
  readonly shmSize?: number
  readonly rlimits?: readonly RuntimeLimit[]
  readonly oomScoreAdj?: number
  readonly sysctl?: Readonly<Record<string, string>>
  readonly devices?: readonly AllowedDevice[]
  /** Without it the container stays in the cgroup of this process, which costs nothing. */
  readonly cgroup?: CgroupOptions
  readonly annotations?: Readonly<Record<string, string>>
}

/** Files that tell of the host or reach into it; a container finds them empty. */
export const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

/** Paths that a container cannot write to. */
export const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

/** The device files that every container has; runtime-spec config-linux.md §Default Devices. */
const standardDevices = ['null', 'zero', 'full', 'random', 'urandom', 'tty']

/**
 * The config.json of a container with docker's defaults. Throws CONFIG_INVALID (exit status 125) where no command is
 * given or the working directory is relative.
 *
 * Device files: a container may make them (CAP_MKNOD), so something else must keep it from opening the host's disks.
 * With a cgroup that is its device list. Without one nothing but the standard devices can be opened anywhere: each
 * mount here is `nodev`, the standard devices are bound from the host, and withoutForeignDevices() sees to the root.
 */
export function containerSpec(options: ContainerOptions): RuntimeSpec {
  if (options.args.length === 0)
    throw new CairnError('CONFIG_INVALID', 'no command specified', {
      exitCode: 125,
      hint: 'The image has neither CMD nor ENTRYPOINT: give a command.',
    })
  if (!options.cwd.startsWith('/'))
    throw new CairnError('CONFIG_INVALID', `the working directory ${JSON.stringify(options.cwd)} is not absolute`, {
      exitCode: 125,
    })
  const privileged = options.privileged === true
  const capabilities = options.capabilities ?? (privileged ? heldCapabilities() : defaultCapabilities)
  const user = options.user ?? { uid: 0, gid: 0 }
  const { seccomp = 'default' } = options
  const { architecture } = hostPlatform()
  const rootfsPropagation = rootPropagation(options.mounts ?? [])
  return {
    ociVersion: runtimeSpecVersion,
    root: { path: options.rootfs, readonly: options.readonlyRootfs === true },
    ...(options.joins?.uts === undefined ? { hostname: options.hostname } : {}),
    process: {
      terminal: options.terminal === true,
      cwd: options.cwd,
      env: environment(options),
      args: options.args,
      // The primary group is among the supplementary ones too, else dropping it by setgroups(2) would gain access.
      user: { ...user, additionalGids: [...new Set([user.gid, ...(user.additionalGids ?? [])])] },
      capabilities:
        options.ambientCapabilities === true ? everywhere(capabilities) : processCapabilities(capabilities, user.uid),
      noNewPrivileges: options.noNewPrivileges === true,
      ...(options.apparmorProfile === undefined ? {} : { apparmorProfile: options.apparmorProfile }),
      ...(options.rlimits === undefined ? {} : { rlimits: options.rlimits }),
      ...(options.oomScoreAdj === undefined ? {} : { oomScoreAdj: options.oomScoreAdj }),
    },
    mounts: containerMounts(options),
    linux: {
      namespaces: namespaces(options),
      ...(rootfsPropagation === undefined ? {} : { rootfsPropagation }),
      ...(seccomp === 'unconfined' || (privileged && seccomp === 'default')
        ? {}
        : {
            seccomp:
              seccomp === 'default'
                ? defaultSeccomp(capabilities, architecture)
                : profileFilter(seccomp, capabilities, architecture),
          }),
      ...(privileged || options.unmasked === true ? {} : { maskedPaths, readonlyPaths }),
      ...(options.sysctl === undefined ? {} : { sysctl: options.sysctl }),
      ...(options.devices === undefined ? {} : { devices: options.devices.map(deviceFile) }),
      ...(options.cgroup === undefined
        ? {}
        : {
            cgroupsPath: options.cgroup.path,
            resources: resources(options.cgroup, options.devices ?? [], privileged),
          }),
    },
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
  }
}

/** What the root has to be so that mounts of the container can be as they are asked for; docker's. */
function rootPropagation(mounts: readonly ContainerMount[]): string | undefined {
  const asked = mounts.map((mount) => (mount.type === 'bind' ? mount.propagation : undefined))
  if (asked.some((mode) => mode === 'shared' || mode === 'rshared')) return 'shared'
  return asked.some((mode) => mode === 'slave' || mode === 'rslave') ? 'rslave' : undefined
}

function deviceFile({ access: _access, ...device }: AllowedDevice): RuntimeDevice {
  return device
}

function environment(options: ContainerOptions): string[] {
  const env = [...options.env]
  const has = (key: string): boolean => env.some((entry) => entry.startsWith(`${key}=`))
  if (!has('PATH')) env.push(`PATH=${defaultPath}`)
  if (options.terminal === true && !has('TERM')) env.push('TERM=xterm')
  if (!has('HOME')) env.push(`HOME=${options.home ?? '/'}`)
  return env
}

/** An ordinary user holds nothing but what a program with file capabilities may gain, up to the bounding set. */
export function processCapabilities(names: readonly string[], uid: number): RuntimeSpec['process']['capabilities'] {
  return uid === 0
    ? { bounding: names, effective: names, permitted: names }
    : { bounding: names, effective: [], permitted: [] }
}

function everywhere(names: readonly string[]): RuntimeSpec['process']['capabilities'] {
  return { bounding: names, effective: names, permitted: names, inheritable: names, ambient: names }
}

function namespaces(options: ContainerOptions): RuntimeNamespace[] {
  const { joins = {} } = options
  const own: RuntimeNamespace[] = [{ type: 'mount' }]
  for (const type of ['pid', 'ipc', 'uts'] as const) {
    const join = joins[type]
    if (join === undefined) own.push({ type })
    else if (join !== 'host') own.push({ type, path: join.path })
  }
  if (options.cgroup !== undefined && joins.cgroup !== 'host') own.push({ type: 'cgroup' })
  if (options.network === 'none') own.push({ type: 'network' })
  else if (options.network !== 'host') own.push({ type: 'network', path: options.network.path })
  return own
}

function containerMounts(options: ContainerOptions): RuntimeMount[] {
  const privileged = options.privileged === true
  const guarded = !privileged && options.cgroup === undefined
  const state = privileged ? 'rw' : 'ro'
  const still = ['nosuid', 'noexec', 'nodev']
  const mounts: RuntimeMount[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: still },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k', ...(guarded ? ['nodev'] : [])],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...still, state] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...still, 'relatime', options.writableCgroups === true ? 'rw' : state],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: still },
  ]
  // One that was asked for stands in place of the default, as docker has it.
  const hasOwnShm = options.mounts?.some(({ target }) => /^\/+dev\/+shm\/*$/.test(target)) === true
  if (options.joins?.ipc === 'host' && !hasOwnShm)
    mounts.push({ destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: ['bind', 'rprivate', ...still] })
  else if (options.noShm !== true && !hasOwnShm)
    mounts.push({
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...still, 'mode=1777', `size=${options.shmSize ?? 64 << 20}`],
    })
  if (guarded) {
    const devices = [
      ...standardDevices.map((name) => `/dev/${name}`),
      ...(options.devices ?? []).map(({ path }) => path),
    ]
    for (const path of devices)
      mounts.push({ destination: path, type: 'bind', source: path, options: ['bind', 'nosuid', 'noexec'] })
  }
  const files = options.networkFiles ?? {}
  for (const [source, destination] of [
    [files.resolvConf, '/etc/resolv.conf'],
    [files.hostname, '/etc/hostname'],
    [files.hosts, '/etc/hosts'],
  ] as const)
    if (source !== undefined)
      mounts.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'nodev'] })
  for (const mount of options.mounts ?? []) mounts.push(extraMount(mount, guarded))
  return mounts
}

function extraMount(mount: ContainerMount, guarded: boolean): RuntimeMount {
  if (mount.type === 'bind') {
    const { recursive = true, readonly = false, deeplyReadonly = false, propagation = 'rprivate' } = mount
    const rights = readonly ? (deeplyReadonly && recursive ? 'rro' : 'ro') : 'rw'
    const options = [recursive ? 'rbind' : 'bind', propagation, rights]
    if (mount.inert === true) options.push('nosuid', 'nodev', 'noexec')
    else if (guarded) options.push('nodev')
    return { destination: mount.target, type: 'bind', source: mount.source, options }
  }
  const options = ['nosuid', 'nodev', `mode=${(mount.mode ?? 0o1777).toString(8)}`]
  if (mount.exec !== true) options.push('noexec')
  if (mount.readonly === true) options.push('ro')
  if (mount.size !== undefined) options.push(`size=${mount.size}`)
  if (mount.uid !== undefined) options.push(`uid=${mount.uid}`)
  if (mount.gid !== undefined) options.push(`gid=${mount.gid}`)
  return { destination: mount.target, type: 'tmpfs', source: 'tmpfs', options }
}

const cpuPeriod = 100_000

function resources(cgroup: CgroupOptions, devices: readonly AllowedDevice[], privileged: boolean): RuntimeResources {
  return {
    devices: privileged ? [everyDevice] : [...deviceRules(devices), ...(cgroup.deviceRules ?? [])],
    ...cgroupResources(cgroup),
    ...blockLimits(cgroup),
  }
}

function blockLimits(cgroup: CgroupOptions): Pick<RuntimeResources, 'blockIO'> {
  const { throttles = [], weightDevices = [], blkioWeight: weight } = cgroup
  const groups = Map.groupBy(throttles, ({ kind }) => `throttle${kind}Device` as const)
  const limits = [...groups].map(([name, found]) => [name, found.map(({ kind: _kind, ...throttle }) => throttle)])
  const weights = {
    ...(weight === undefined ? {} : { weight }),
    ...(weightDevices.length === 0 ? {} : { weightDevice: weightDevices }),
  }
  const blockIO = { ...weights, ...Object.fromEntries(limits) }
  return Object.keys(blockIO).length === 0 ? {} : { blockIO }
}

/** Limits as the runtime reads them, without devices. */
export function cgroupResources(limits: CgroupLimits): Omit<RuntimeResources, 'devices'> {
  const { cpus, pidsLimit, blkioWeight } = limits
  const memory = withoutUndefined({
    limit: limits.memory,
    swap: limits.memorySwap,
    reservation: limits.memoryReservation,
    swappiness: limits.memorySwappiness,
    disableOOMKiller: limits.disableOomKiller,
  })
  const cpu = withoutUndefined({
    shares: limits.cpuShares,
    period: cpus === undefined ? limits.cpuPeriod : cpuPeriod,
    quota: cpus === undefined ? limits.cpuQuota : Math.round(cpus * cpuPeriod),
    cpus: limits.cpusetCpus,
    mems: limits.cpusetMems,
    realtimePeriod: limits.cpuRealtimePeriod,
    realtimeRuntime: limits.cpuRealtimeRuntime,
  })
  return {
    ...(memory === undefined ? {} : { memory }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
    ...(blkioWeight === undefined ? {} : { blockIO: { weight: blkioWeight } }),
  }
}

type Defined<Fields> = { [Key in keyof Fields]?: Exclude<Fields[Key], undefined> }

/** Undefined where no field is there. */
function withoutUndefined<Fields extends object>(fields: Fields): Defined<Fields> | undefined {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  return given.length === 0 ? undefined : (Object.fromEntries(given) as Defined<Fields>)
}

/** The rule of a privileged container. */
export const everyDevice: RuntimeDeviceRule = { allow: true, access: 'rwm' }

/** Making any device file is allowed, using only the standard ones (major and minor of devices.txt) and those given. */
export function deviceRules(devices: readonly AllowedDevice[] = []): RuntimeDeviceRule[] {
  const use = (major: number, minor?: number): RuntimeDeviceRule => ({
    allow: true,
    type: 'c',
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  })
  return [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'b', access: 'm' },
    use(1, 3), // null
    use(1, 5), // zero
    use(1, 7), // full
    use(1, 8), // random
    use(1, 9), // urandom
    use(5, 0), // tty
    use(5, 1), // console
    use(5, 2), // ptmx
    use(136), // pts
    ...devices.flatMap((device): RuntimeDeviceRule[] =>
      device.type === 'b' || device.type === 'c'
        ? [
            {
              ...use(device.major ?? 0, device.minor ?? 0),
              type: device.type,
              ...(device.access === undefined ? {} : { access: device.access }),
            },
          ]
        : [],
    ),
  ]
}
