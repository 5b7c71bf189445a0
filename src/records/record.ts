import type { StepReport } from '../build/step-reports.ts'
import type { Digest } from '../oci/digest.ts'
import type { ProgressEvent } from '../progress/events.ts'

/** What is known of a build when it begins. */
export interface RecordHeader {
  /** 25 letters and digits. */
  readonly id: string
  /** `app`, `app/Dockerfile.dev`, `app (test)`: after its context, file and target, as buildx names builds. */
  readonly name: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
  /** The context argument, without credentials; a directory by its absolute path. */
  readonly context: string
  /** The Dockerfile's name. */
  readonly dockerfile: string
  readonly target?: string
  /** `linux/amd64`; empty for that of the machine. */
  readonly platforms: readonly string[]
  /** Names only: values may be secrets. */
  readonly buildArgs: readonly string[]
  readonly tags: readonly string[]
  readonly cairnVersion: string
}

/** `interrupted`: the process ended before the build did. */
export type RecordStatus = 'running' | 'completed' | 'error' | 'canceled' | 'interrupted'

/** A step with what could be done about its miss. */
export interface ExplainedStep extends StepReport {
  readonly advice?: readonly string[]
}

/** What a build came to. */
export interface RecordEnd {
  /** Milliseconds since 1970. */
  readonly completedAt: number
  readonly status: 'completed' | 'error' | 'canceled'
  readonly error?: RecordedFailure
  readonly imageId?: Digest
  /** Of the manifest. */
  readonly digest?: Digest
  readonly steps: readonly ExplainedStep[]
  /** Steps that were brought about, and how many of them came from the cache. */
  readonly total: number
  readonly cached: number
}

/** How many steps were gone through, whatever came of them. */
export function completedSteps({ steps }: RecordEnd): number {
  return steps.filter(({ outcome }) => outcome !== 'unreached' && outcome !== 'canceled').length
}

export interface RecordedFailure {
  readonly code: string
  readonly message: string
  /** Title of the step that failed. */
  readonly step?: string
  /** The lines of the Dockerfile, as errors show them. */
  readonly excerpt?: string
  /** The last lines the step wrote. */
  readonly logTail?: readonly string[]
}

/** The record of one build, without its events. */
export interface BuildRecord extends RecordHeader {
  readonly status: RecordStatus
  /** Undefined while it runs, and for one that was interrupted. */
  readonly end: RecordEnd | undefined
}

/** The Dockerfile as it was read, its URLs without credentials. */
export interface RecordedSource {
  readonly filename: string
  readonly text: string
}

/** What a record holds between its header and its end, in the order it came. */
export type RecordItem =
  | { readonly kind: 'source'; readonly source: RecordedSource }
  | { readonly kind: 'event'; readonly event: ProgressEvent }
