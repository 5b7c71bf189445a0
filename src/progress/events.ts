/**
 * What a build (or any job made of steps) tells about itself while it runs: BuildKit's model of vertexes, statuses,
 * logs and warnings (moby/buildkit client.SolveStatus), one event a message. Times are milliseconds since 1970.
 */
export type ProgressEvent = VertexEvent | StatusEvent | LogEvent | WarningEvent

/** Identifies a vertex within one build: a digest, or any other unique text. */
export type VertexId = string

/** A step as it is now. Each event replaces what was said about the same `id` before. */
export interface VertexEvent {
  readonly type: 'vertex'
  readonly id: VertexId
  /** `[stage-0 2/5] RUN make`, `[internal] load .dockerignore`. */
  readonly name: string
  readonly inputs?: readonly VertexId[]
  /** Absent while the step only waits: it is counted, not yet shown. */
  readonly started?: number
  readonly completed?: number
  readonly cached?: boolean
  /** Why it failed. {@link canceled} marks a step that was stopped, not one that failed. */
  readonly error?: string
  /** Why it could not be taken from the cache: `src/server.ts changed`. */
  readonly reason?: string
}

/** One piece of work inside a vertex: a layer being pulled, files being sent. */
export interface StatusEvent {
  readonly type: 'status'
  readonly vertex: VertexId
  /** What is done, as it is shown: `transferring context:`, `sha256:…`. Unique within the vertex. */
  readonly id: string
  /** Bytes so far. */
  readonly current: number
  /** Bytes in all; 0 where unknown. */
  readonly total: number
  readonly timestamp: number
  readonly started?: number
  readonly completed?: number
}

/** Bytes a step wrote, cut anywhere. */
export interface LogEvent {
  readonly type: 'log'
  readonly vertex: VertexId
  /** 1 for stdout, 2 for stderr. */
  readonly stream: 1 | 2
  readonly data: Uint8Array
  readonly timestamp: number
}

/** Something the user should know though the step goes on. */
export interface WarningEvent {
  readonly type: 'warning'
  readonly vertex: VertexId
  /** One line. */
  readonly short: string
  readonly detail?: readonly string[]
  readonly url?: string
  readonly level?: number
  /** The file it is about, and which of its lines. */
  readonly source?: WarningSource
}

/** Lines of a file. */
export interface WarningSource {
  readonly filename: string
  readonly data: Uint8Array | string
  /** From 1, both included. */
  readonly start: number
  readonly end: number
  /** The lines with those around them, as errors show them. */
  readonly excerpt: string
}

/** Takes events as they happen. Must not throw and must not keep `data` of a log without copying it. */
export type ProgressListener = (event: ProgressEvent) => void

/** `VertexEvent.error` of a step that was stopped because another failed or the user asked for it. */
export const canceled = 'context canceled'

/** True when `error` says that a step was stopped, not that it failed. */
export function isCanceled(error: string): boolean {
  return error.endsWith(canceled)
}
