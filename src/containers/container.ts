import type { ContainerConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import type { RuntimeLimit } from '../oci/runtime-spec.ts'
import type { ContainerMount } from '../runtime/spec.ts'

/** `created`: never ran, or could not be started. */
export type ContainerState = 'created' | 'running' | 'exited'

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
}

/** `default` is what a container gets when nothing is asked for: for now the host's network. */
export type NetworkMode = 'default' | 'host' | 'none'

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
    }
  | {
      readonly type: 'volume'
      readonly name: string
      readonly anonymous: boolean
      readonly target: string
      readonly readonly: boolean
      /** An empty volume gets what the image has at the target. */
      readonly copy: boolean
    }
  | (Extract<ContainerMount, { type: 'tmpfs' }> & { readonly readonly: boolean })

/** A container as it is recorded. Times are milliseconds since 1970. */
export interface Container {
  /** 64 hex digits. */
  readonly id: string
  readonly name: string
  readonly imageId: Digest
  /** Its writable directory, see content/snapshot-records.ts. */
  readonly snapshot: string
  readonly state: ContainerState
  /** Session of the process that runs it. */
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
}
