import type { ProgressEvent, VertexId } from './events.ts'

/** Where a display writes. An output of the CLI is one. */
export interface DisplaySink {
  readonly isTTY: boolean
  readonly columns: number
  readonly rows: number
  write(data: string | Uint8Array): void
  /** Calls `listener` when the size has changed; the result stops that. */
  onResize(listener: () => void): () => void
}

/** Shows the progress of one build. */
export interface Display {
  /** Takes one event in. Never throws for an event about an unknown vertex. */
  handle(event: ProgressEvent): void
  /** Shows one line that belongs to no step, in between; of a display for people. */
  note?(text: string): void
  /** The last lines a step wrote, for the report of its failure. */
  logTail(vertex: VertexId): readonly string[]
  /** Shows what is still unshown and gives the terminal back. Safe to call twice; must be called on every path. */
  finish(): void
}

/**
 * How progress is shown; `auto` is `tty` on a terminal and `plain` elsewhere. `quiet` and `none` show nothing, but of a
 * quiet build the result is told.
 */
export type DisplayMode = 'auto' | 'tty' | 'plain' | 'quiet' | 'none' | 'rawjson'
