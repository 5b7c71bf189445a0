import type { ChmodMode } from '../dockerfile/chmod.ts'
import type { SourceRange } from '../dockerfile/instruction.ts'
import type { ImageConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import type { Platform } from '../oci/platform.ts'
import type { RemoteSource } from './ops/remote-source.ts'

/** A base image, resolved to content: all that a build needs to know of it. */
export interface BaseImage {
  /** Canonical name, as the user will recognise it: `docker.io/library/debian:bookworm-slim`. */
  readonly name: string
  /** Digest of the platform's manifest. */
  readonly digest: Digest
  /** Digest of the index that the name leads to, where it does. */
  readonly index?: Digest | undefined
  readonly config: ImageConfig
  readonly platform: Platform
  /** Stands for an image that could not be found, where a plan is only to be looked at. */
  readonly isStandIn?: true
}

/** What every op has. Ops form a graph: an op changes the filesystem that its `parent` leaves and may read others. */
export interface OpBase {
  /** Position in planning order; parents and sources have smaller numbers. */
  readonly id: number
  /** As shown to the user: `[builder 2/4] RUN npm ci`. */
  readonly title: string
  /** The expanded instruction without the stage prefix, for explanations. */
  readonly text: string
  readonly stage: string
  /** Position of the op among the ops of its stage, from 0. */
  readonly ordinal: number
  /** Lines in the Dockerfile. */
  readonly range: SourceRange
  /** The filesystem this op starts from; undefined is the empty one. */
  readonly parent: Op | undefined
  readonly platform: Platform
  /** The instruction as it stands in the Dockerfile; undefined for what no instruction says. */
  readonly written?: WrittenStep
  /** The flag that forbids taking this op's result from the cache: `--no-cache` or `--no-cache-filter`. */
  readonly ignoreCache: string | undefined
}

/** What an instruction says before variables are put in. */
export interface WrittenStep {
  /** Its text with its here-documents. */
  readonly text: string
  /** The variables that are put into it, with their values where they have any. */
  readonly variables: ReadonlyMap<string, string | undefined>
}

/** FROM image. */
export interface BaseOp extends OpBase {
  readonly kind: 'base'
  readonly image: BaseImage
}

/** Where a RUN bind mount or a COPY takes its files from. */
export type FileSource =
  /** A build context: the main one, or that with the name. */
  | { readonly from: 'context'; readonly name?: string }
  | { readonly from: 'op'; readonly op: Op | undefined; readonly label: string }

/** A mount of a RUN. Its `target` is absolute and clean; `writtenTarget` is as written where that was absolute. */
export type OpMount =
  | {
      readonly type: 'bind'
      readonly target: string
      readonly writtenTarget: string
      readonly source: FileSource
      readonly path: string
      readonly readOnly: boolean
    }
  | {
      readonly type: 'cache'
      readonly target: string
      readonly writtenTarget: string
      readonly id: string
      readonly sharing: 'shared' | 'private' | 'locked'
      readonly readOnly: boolean
      /** First content of a new cache directory. */
      readonly source: FileSource | undefined
      readonly path: string
      readonly mode: number | undefined
      readonly uid: number | undefined
      readonly gid: number | undefined
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly writtenTarget: string
      readonly readOnly: boolean
      /** Bytes it may hold. */
      readonly size: number | undefined
    }
  | {
      readonly type: 'secret'
      readonly id: string
      /** Where the file appears; undefined for one that is only a variable. */
      readonly target: string | undefined
      readonly writtenTarget: string | undefined
      readonly env: string | undefined
      readonly required: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
      /** Stands for the value, where a change of it is to run the step again: a digest under a key of the store. */
      readonly fingerprint: string | undefined
    }
  | {
      readonly type: 'ssh'
      readonly id: string
      readonly target: string
      readonly writtenTarget: string
      readonly required: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

/** A name that RUN steps resolve to an address. */
export interface ExtraHost {
  readonly name: string
  readonly address: string
}

/** The name that the machine has in a RUN step, BuildKit's. */
export const defaultHostname = 'buildkitsandbox'

/** RUN. */
export interface RunOp extends OpBase {
  readonly kind: 'run'
  readonly args: readonly string[]
  /** Environment that is part of the cache key. */
  readonly env: ReadonlyMap<string, string>
  /** Proxy settings: given to the process, never part of the key or the history. */
  readonly proxyEnv: ReadonlyMap<string, string>
  readonly cwd: string
  readonly user: string
  readonly network: 'default' | 'none' | 'host'
  /** `insecure` has every capability and device and no system call filter. */
  readonly security: 'sandbox' | 'insecure'
  /** CDI devices by their full names. */
  readonly devices: readonly string[]
  readonly hostname: string
  readonly mounts: readonly OpMount[]
  /** `--add-host`: lines of /etc/hosts. */
  readonly extraHosts: readonly ExtraHost[]
  /** Script of a heredoc with a shebang, shown to the process as `/dev/pipes/<name>`. */
  readonly script: { readonly name: string; readonly content: string } | undefined
}

/** One source of COPY or ADD. */
export type CopySource =
  | {
      readonly kind: 'files'
      readonly source: FileSource
      readonly pattern: string
      readonly parents: boolean
      /** `--optional`: a source that is missing is none at all. */
      readonly optional: boolean
      readonly unpack: boolean
    }
  | { readonly kind: 'inline'; readonly name: string; readonly content: string }
  | { readonly kind: 'remote'; readonly remote: RemoteSource; readonly unpack: boolean }

/** COPY and ADD. */
export interface CopyOp extends OpBase {
  readonly kind: 'copy'
  readonly sources: readonly CopySource[]
  /** Absolute; a trailing slash is kept and means "a directory". */
  readonly destination: string
  /** As written after expansion; names are looked up in the parent's /etc/passwd and /etc/group. */
  readonly chown: string | undefined
  readonly chmod: ChmodMode | undefined
  readonly excludes: readonly string[]
  /** `--link`: the layer does not depend on what is below it. */
  readonly link: boolean
}

/** WORKDIR: makes the directory. */
export interface WorkdirOp extends OpBase {
  readonly kind: 'workdir'
  readonly path: string
  /** USER at this point; owns the directories that are made. */
  readonly user: string
}

export type Op = BaseOp | RunOp | CopyOp | WorkdirOp

/** What a plan comes to: the filesystem of the target stage and the configuration of its image. */
export interface BuildPlan {
  /** Every op that the target needs, parents first. */
  readonly ops: readonly Op[]
  /** Last op of the target stage; undefined is the empty filesystem. */
  readonly target: Op | undefined
  /** Last ops of all stages that are to be built, the target among them. */
  readonly wanted: readonly Op[]
  /** Configuration without `created`, `rootfs` and the times of new history entries. */
  readonly config: ImageConfig
  /** How many leading history entries come from the base image and keep their times. */
  readonly inheritedHistory: number
  readonly platform: Platform
  /** Seconds since 1970 that times are clamped to, from SOURCE_DATE_EPOCH. */
  readonly epoch: number | undefined
  /**
   * Seconds since 1970 that files of contexts, what RUN steps write and new history entries are dated; undefined where
   * they have their real times.
   */
  readonly fixedTime: number | undefined
  readonly warnings: readonly PlanWarning[]
}

/** Something the user should know though the build goes on. */
export interface PlanWarning {
  readonly message: string
}
