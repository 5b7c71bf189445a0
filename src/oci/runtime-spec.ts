/**
 * The parts of a runtime bundle's config.json that Cairn writes, with the names of the specification.
 * https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md and config-linux.md
 */

/** config.md §Specification version: what the runtimes of the field's current distributions all accept. */
export const runtimeSpecVersion = '1.0.2'

export interface RuntimeSpec {
  readonly ociVersion: string
  readonly root: { readonly path: string; readonly readonly?: boolean }
  readonly hostname?: string
  readonly process: RuntimeProcess
  readonly mounts: readonly RuntimeMount[]
  readonly linux: RuntimeLinux
  readonly hooks?: RuntimeHooks
  readonly annotations?: Readonly<Record<string, string>>
}

/** config.md §POSIX-platform Hooks. */
export interface RuntimeHooks {
  readonly prestart?: readonly RuntimeHook[]
  readonly createRuntime?: readonly RuntimeHook[]
  readonly createContainer?: readonly RuntimeHook[]
  readonly startContainer?: readonly RuntimeHook[]
  readonly poststart?: readonly RuntimeHook[]
  readonly poststop?: readonly RuntimeHook[]
}

/** A program of the host. */
export interface RuntimeHook {
  readonly path: string
  readonly args?: readonly string[]
  readonly env?: readonly string[]
  /** Seconds. */
  readonly timeout?: number
}

/** config.md §Process. */
export interface RuntimeProcess {
  readonly terminal?: boolean
  readonly consoleSize?: { readonly height: number; readonly width: number }
  readonly cwd: string
  readonly env: readonly string[]
  readonly args: readonly string[]
  readonly user: RuntimeUser
  readonly rlimits?: readonly RuntimeLimit[]
  readonly capabilities: RuntimeCapabilities
  readonly noNewPrivileges: boolean
  readonly oomScoreAdj?: number
  readonly apparmorProfile?: string
}

/** config.md §POSIX-platform User. */
export interface RuntimeUser {
  readonly uid: number
  readonly gid: number
  readonly umask?: number
  readonly additionalGids?: readonly number[]
}

/** config.md §POSIX process: `RLIMIT_NOFILE` and the like. */
export interface RuntimeLimit {
  readonly type: string
  readonly soft: number
  readonly hard: number
}

/** config.md §Linux Process: sets of names like `CAP_CHOWN`. */
export interface RuntimeCapabilities {
  readonly bounding: readonly string[]
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
  readonly inheritable?: readonly string[]
  readonly ambient?: readonly string[]
}

/** config.md §Mounts. */
export interface RuntimeMount {
  readonly destination: string
  readonly type?: string
  readonly source?: string
  readonly options?: readonly string[]
}

/** config-linux.md §Namespaces. */
export interface RuntimeNamespace {
  readonly type: 'cgroup' | 'ipc' | 'mount' | 'network' | 'pid' | 'time' | 'user' | 'uts'
  /** An existing namespace to join, as a file of /proc/PID/ns; a new one where it is absent. */
  readonly path?: string
}

/** config-linux.md §Devices. */
export interface RuntimeDevice {
  readonly type: 'b' | 'c' | 'p' | 'u'
  readonly path: string
  readonly major?: number
  readonly minor?: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

/** config-linux.md §Allowed Device list. */
export interface RuntimeDeviceRule {
  readonly allow: boolean
  readonly type?: 'a' | 'b' | 'c'
  readonly major?: number
  readonly minor?: number
  readonly access?: string
}

/** config-linux.md §Block IO: bytes or operations each second. */
export interface RuntimeThrottle {
  readonly major: number
  readonly minor: number
  readonly rate: number
}

/** config-linux.md §Block IO. */
export interface RuntimeDeviceWeight {
  readonly major: number
  readonly minor: number
  readonly weight: number
}

/** config-linux.md §Control groups. */
export interface RuntimeResources {
  readonly devices?: readonly RuntimeDeviceRule[]
  readonly memory?: {
    readonly limit?: number
    readonly swap?: number
    readonly reservation?: number
    readonly swappiness?: number
    readonly disableOOMKiller?: boolean
  }
  readonly cpu?: {
    readonly shares?: number
    readonly quota?: number
    readonly period?: number
    readonly cpus?: string
    readonly mems?: string
    readonly realtimePeriod?: number
    readonly realtimeRuntime?: number
  }
  readonly pids?: { readonly limit: number }
  readonly blockIO?: {
    readonly weight?: number
    readonly weightDevice?: readonly RuntimeDeviceWeight[]
    readonly throttleReadBpsDevice?: readonly RuntimeThrottle[]
    readonly throttleWriteBpsDevice?: readonly RuntimeThrottle[]
    readonly throttleReadIOPSDevice?: readonly RuntimeThrottle[]
    readonly throttleWriteIOPSDevice?: readonly RuntimeThrottle[]
  }
}

export type SeccompAction =
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_TRAP'

/** config-linux.md §Seccomp. */
export interface RuntimeSeccomp {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet?: number
  readonly architectures: readonly string[]
  readonly syscalls: readonly RuntimeSeccompRule[]
}

export interface RuntimeSeccompRule {
  readonly names: readonly string[]
  readonly action: SeccompAction
  readonly errnoRet?: number
  readonly args?: readonly RuntimeSeccompArgument[]
}

export interface RuntimeSeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op:
    | 'SCMP_CMP_EQ'
    | 'SCMP_CMP_GE'
    | 'SCMP_CMP_GT'
    | 'SCMP_CMP_LE'
    | 'SCMP_CMP_LT'
    | 'SCMP_CMP_MASKED_EQ'
    | 'SCMP_CMP_NE'
}

/** config-linux.md §User namespace mappings. */
export interface RuntimeIdMapping {
  readonly containerID: number
  readonly hostID: number
  readonly size: number
}

/** config-linux.md. */
export interface RuntimeLinux {
  readonly namespaces: readonly RuntimeNamespace[]
  /** Of the user namespace. */
  readonly uidMappings?: readonly RuntimeIdMapping[]
  readonly gidMappings?: readonly RuntimeIdMapping[]
  readonly devices?: readonly RuntimeDevice[]
  readonly cgroupsPath?: string
  readonly resources?: RuntimeResources
  readonly seccomp?: RuntimeSeccomp
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly sysctl?: Readonly<Record<string, string>>
  readonly rootfsPropagation?: string
}
