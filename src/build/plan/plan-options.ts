import type { RunDevice } from '../../dockerfile/device.ts'
import type { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import type { Linter } from '../../dockerfile/lint/linter.ts'
import type { Platform } from '../../oci/platform.ts'
import type { BaseImage, ExtraHost, Op } from '../graph.ts'
import type { NamedContexts } from './named-contexts.ts'

/** What is to be planned, and what for. */
export interface PlanOptions {
  readonly dockerfile: Dockerfile
  /** Stage name or number; the last stage where undefined. */
  readonly target: string | undefined
  /** `--all-stages`: every stage of the file is built; the image is still that of the target. */
  readonly allStages?: boolean
  /** `--build-arg`s that have a value. */
  readonly buildArgs: ReadonlyMap<string, string>
  readonly labels: ReadonlyMap<string, string>
  /** The platform to build for; undefined lets the base image decide, as docker does. */
  readonly platform: Platform | undefined
  readonly buildPlatform: Platform
  readonly network: 'default' | 'none' | 'host'
  readonly extraHosts: readonly ExtraHost[]
  /** Entitlements given with `--allow`. */
  readonly allow: ReadonlySet<string>
  /** `--no-cache`, or the flag that stands for it here. */
  readonly noCache: boolean | '--verify-reproducible'
  /** Lower-case stage names whose steps are never taken from the cache. */
  readonly noCacheFilter: ReadonlySet<string>
  /** The CDI devices that a step asks for by their full names. Throws STEP_INVALID, also where they are not allowed. */
  readonly findDevices?: (devices: readonly RunDevice[]) => readonly string[]
  /** Stands for a secret's value in the key of a step; undefined where that is not to count. */
  readonly secretFingerprint?: (id: string) => string | undefined
  /** Judges the Dockerfile as it is planned; what the text shows by itself it has been told. */
  readonly linter?: Linter | undefined
  /** What the ignore file excludes from the context. */
  readonly ignore?: IgnoreMatcher | undefined
  /** Of a build for several platforms: what was planned for others, which this joins. Titles then name platforms. */
  readonly joined?: JoinedPlans | undefined
  /** Finds a base image; called once for each distinct name and platform, concurrently. */
  readonly resolveImage: (reference: string, platform: Platform) => Promise<BaseImage>
  /** `--timestamps`: what depends on when and where a build runs has one time, unless `real`. */
  readonly timestamps?: 'fixed' | 'real' | undefined
  /** When the context is from, seconds since 1970, where it has a time of its own: what SOURCE_DATE_EPOCH=context is. */
  readonly contextTime?: (() => number | undefined) | undefined
  /** What `--build-context` gives in place of images and stages. */
  readonly namedContexts?: NamedContexts | undefined
}

/** The ops of several plans in one graph. */
export interface JoinedPlans {
  readonly ops: Op[]
  /** The ops of images and contexts, by what they are. */
  readonly bases: Map<string, Op>
}
