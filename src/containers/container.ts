import type { ContainerConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import type { RuntimeLimit } from '../oci/runtime-spec.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import type { EndpointSetting, PortSetting } from '../networks/network.ts'
import type { OciRuntime } from '../runtime/runtime.ts'
import type { UserMapping } from './user-mapping.ts'
import type { CgroupLimits, ContainerMount, MountPropagation, ThrottleKind } from '../runtime/spec.ts'

/**
 * `created`: never ran, or could not be started. `restarting`: has ended and is to be started again by its restart
 * policy in a moment.
 */
export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'exited'

/** Whether a container that ended is started again. */
export interface RestartPolicy {
  readonly name: 'no' | 'on-failure' | 'always' | 'unless-stopped'
  /** How often after a failure, 0 for ever. */
  readonly maximumRetries: number
}

/** Where a container's output is kept. */
export interface LogSetting {
  readonly driver: 'json-file' | 'local' | 'none'
  readonly options: Readonly<Record<string, string>>
  /** Bytes after which a new file is begun. */
  readonly maxSize?: number
  /** How many files are kept; one if absent. */
  readonly maxFiles?: number
}

/** `private` is a namespace of the container's own, `container:ID` that of another one. */
export type NamespaceMode = 'private' | 'host' | `container:${string}`

/** What a container was made with, kept so that it can be started again and inspected. */
export interface ContainerSettings {
  /** The image in the user's words. */
  readonly image: string
  /** Manifest of the image's platform that its root file system is made of. */
  readonly manifest: Digest
  /** The image's configuration with what was asked for in its place: what `inspect` shows and `commit` makes an image of. */
  readonly config: ContainerConfig
  /** Groups besides the user's own, names or numbers. */
  readonly groups: readonly string[]
  readonly hostname: string
  readonly tty: boolean
  readonly openStdin: boolean
  readonly mounts: readonly MountSetting[]
  readonly network: NetworkMode
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[]
  readonly dns: {
    readonly servers?: readonly string[]
    readonly search?: readonly string[]
    readonly options?: readonly string[]
  }
  readonly readonlyRootfs: boolean
  readonly privileged: boolean
  readonly capAdd: readonly string[]
  readonly capDrop: readonly string[]
  readonly seccomp: 'default' | 'unconfined'
  readonly noNewPrivileges: boolean
  /** Bytes of /dev/shm; the runtime's default where absent. */
  readonly shmSize?: number
  /** -1 is unlimited. */
  readonly ulimits: readonly RuntimeLimit[]
  // What follows is absent from containers made before there was such a setting: then it is as docker has it by default.
  readonly restart?: RestartPolicy
  /** Seconds that it may take to end by itself, -1 for ever. */
  readonly stopTimeout?: number
  readonly log?: LogSetting
  /** Text of a filter in docker's format, in place of the default. */
  readonly seccompProfile?: string
  readonly apparmorProfile?: string
  /** Where volumes were taken from, as it was asked for. */
  readonly volumesFrom?: readonly string[]
  /** The architecture of the image's programs, in Go's name, where that is not this machine's: an emulator may be needed. */
  readonly emulated?: string
  readonly limits?: CgroupLimits
  /** A small init process is pid 1 and takes care of orphans. */
  readonly init?: boolean
  readonly ipc?: NamespaceMode | 'none' | 'shareable'
  readonly pid?: NamespaceMode
  readonly uts?: 'private' | 'host'
  readonly cgroupns?: 'private' | 'host'
  /** No path of /proc or /sys is hidden or read-only. */
  readonly unmasked?: boolean
  /** It may make cgroups below its own. */
  readonly writableCgroups?: boolean
  readonly domainname?: string
  readonly sysctls?: Readonly<Record<string, string>>
  readonly devices?: readonly DeviceSetting[]
  readonly throttles?: readonly ThrottleSetting[]
  readonly weightDevices?: readonly DeviceWeightSetting[]
  /** Devices that may be used besides, as rules of cgroups: `c 42:* rwm`. */
  readonly deviceRules?: readonly string[]
  readonly oomScoreAdj?: number
  /** Cgroup that the container's own is made in. */
  readonly cgroupParent?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** Its input ends when the first who was attached to it leaves. */
  readonly stdinOnce?: boolean
  /** The streams that the command which made it was attached to. */
  readonly attached?: readonly ('stdin' | 'stdout' | 'stderr')[]
  readonly runtime?: OciRuntime['name']
  /** The networks that it is attached to. */
  readonly networks?: readonly EndpointSetting[]
  readonly ports?: readonly PortSetting[]
  /** Containers that it knows by other names, too. */
  readonly links?: readonly LinkSetting[]
  /** Exposed ports are published too. */
  readonly publishAll?: boolean
  /** Its users: those of the host although others are the rule (`host`), or others. */
  readonly userns?: 'host' | UserMapping
}

/** Another container by its name, and what this one calls it. */
export interface LinkSetting {
  readonly name: string
  /** Known in the default network, where it has to be there. */
  readonly id?: string
  readonly alias: string
}

/** How fast a container may read or write a device of the host, in bytes or operations each second. */
export interface ThrottleSetting {
  readonly kind: ThrottleKind
  readonly path: string
  readonly rate: number
}

/** What share of a device's traffic a container gets, 10 to 1000. */
export interface DeviceWeightSetting {
  readonly path: string
  readonly weight: number
}

/** A device of the host that a container may use. */
export interface DeviceSetting {
  readonly source: string
  readonly target: string
  /** Letters of `rwm`. */
  readonly access: string
}

/**
 * `bridge`: attached to networks. `default` is what containers were made with before there were any: the host's, under a
 * name of their own.
 */
export type NetworkMode = 'default' | 'host' | 'none' | 'bridge' | `container:${string}`

/** A mount of a container, all decided. Targets are absolute and clean. */
export type MountSetting =
  | {
      readonly type: 'bind'
      readonly source: string
      readonly target: string
      readonly readonly: boolean
      /** Mounts below the source come along. */
      readonly recursive: boolean
      /** A source that is not there becomes a directory. */
      readonly createSource: boolean
      /** How mounts made later travel; `rprivate` if absent. */
      readonly propagation?: MountPropagation
      /** Of a read-only mount: those below stay as they are, or have to be read-only. */
      readonly below?: 'writable' | 'readonly'
    }
  | {
      readonly type: 'volume'
      readonly name: string
      readonly anonymous: boolean
      readonly target: string
      readonly readonly: boolean
      /** An empty volume gets what the image has at the target. */
      readonly copy: boolean
      /** What of the volume is mounted; all if absent. */
      readonly subpath?: string
      /** Labels of the volume, where it is made for this container. */
      readonly labels?: Readonly<Record<string, string>>
    }
  | (Extract<ContainerMount, { type: 'tmpfs' }> & { readonly readonly: boolean })

/** The processes of a container that runs with a monitor. */
export interface ContainerRun {
  readonly monitor: ProcessIdentity
  readonly init: ProcessIdentity
  readonly runtime: OciRuntime
  /** The boot of the machine and the pid namespace in which the numbers of the processes mean something. */
  readonly scope: string
  /** The mount namespace that it was started from. */
  readonly mounts: string | null
  /** Looks after its health, where it has a check. */
  readonly health?: ProcessIdentity
  /** Looks after the size of its log, where several files of it are kept. */
  readonly logSize?: ProcessIdentity
  /** Its cgroup, below each hierarchy; none where it stays in that of Cairn. */
  readonly cgroup: string | null
}

/** What is known about starting a container again. */
export interface RestartRecord {
  /** How often its policy started it since the user did. */
  readonly count: number
  /** Milliseconds that were waited before the last time. */
  readonly delay: number
  /** When it is to be started, in milliseconds since 1970. */
  readonly dueAt?: number
  /** The process that waits for that. */
  readonly waiter?: ProcessIdentity
  /** It was ended by the user, so it stays ended. */
  readonly isStopped?: boolean
  /** It is ended only to be started again, so it does not go although it was to go at its end. */
  readonly isKept?: boolean
}

/** A container as it is recorded. Times are milliseconds since 1970. */
export interface Container {
  /** 64 hex digits. */
  readonly id: string
  readonly name: string
  readonly imageId: Digest
  /** Its writable directory, see content/snapshot-records.ts. */
  readonly snapshot: string
  readonly state: ContainerState
  /** Session of the process that runs it in the foreground, or that is just starting it. */
  readonly session: string | null
  /** It goes when it ends. */
  readonly autoRemove: boolean
  readonly settings: ContainerSettings
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly exitCode: number | null
  /** Why it could not be started. */
  readonly error: string | null
  /** The processes of its last run with a monitor. */
  readonly run: ContainerRun | null
  readonly restart: RestartRecord | null
  /** The kernel ended a process of its last run for want of memory. */
  readonly oomKilled: boolean
}

/** True for a container that has to be stopped before it can be removed. */
export function isActive({ state }: Pick<Container, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting'
}
