import { CairnError } from '../errors/error.ts'
import type { Dockerfile } from '../dockerfile/instruction.ts'
import { canceled, type ProgressListener, type VertexEvent } from '../progress/events.ts'
import { LogTail } from '../progress/trace.ts'
import type { Op } from './graph.ts'
import { statusOf } from './context/remote-files.ts'
import { atRange } from './step-error.ts'
import { stepId } from './step-reports.ts'

/** Where a step's output goes. */
export interface StepLog {
  readonly write: (stream: 1 | 2, data: Uint8Array) => void
  /** Told once the step waits for another process: `cairn build (process 1234) to run this step`. */
  readonly waiting: (what: string) => void
  /** Tells how far something is: bytes, `total` being 0 where that is not known. */
  readonly status: (id: string, current: number, total: number) => void
  /** Told of a command that ended badly while its container is still there. */
  readonly failed?: (command: FailedCommand) => Promise<void>
}

/** A command that ended badly. */
export interface FailedCommand {
  readonly error: CairnError
  /** Its exit status. */
  readonly status: number
  /** Runs a shell in its container, on the terminal of this process, until that ends. */
  readonly openShell: (signal: AbortSignal) => Promise<void>
}

export interface RunningStepOptions {
  readonly dockerfile: Dockerfile
  readonly progress: ProgressListener
  /** Why it runs, as it is shown. */
  readonly reason: string | undefined
  /** Aborted by the first step that fails, with its error. */
  readonly stop: AbortController
  readonly onFailure?: ((command: FailedCommand) => Promise<void>) | undefined
}

/** A step while it runs: what is shown of it, and how it ends. */
export class RunningStep {
  readonly log: StepLog
  readonly #op: Op
  readonly #options: RunningStepOptions
  readonly #vertex: VertexEvent
  readonly #tail = new LogTail()
  /** Its failure, once that was told. */
  #told: CairnError | undefined

  /** Shows that it begins. */
  constructor(op: Op, options: RunningStepOptions) {
    this.#op = op
    this.#options = options
    const { progress, reason } = options
    const shown = reason === undefined ? {} : { reason }
    this.#vertex = { type: 'vertex', id: stepId(op), name: op.title, started: Date.now(), ...shown }
    progress(this.#vertex)
    this.log = {
      write: (stream, data) => this.#write(stream, data),
      waiting: (what) => this.#write(2, new TextEncoder().encode(`waiting for ${what}\n`)),
      status: statusOf(progress, this.#vertex.id),
      failed: (command) => this.#commandFailed(command),
    }
  }

  /** Shows that it ended well, `cached` where another process has done the work. */
  done(cached: boolean): void {
    this.#options.progress({ ...this.#vertex, completed: Date.now(), cached })
  }

  /** Ends it by `error`: what the build fails with, and whether the step was only stopped for another's sake. */
  failed(error: unknown): { readonly error: unknown; readonly isCanceled: boolean } {
    const { stop, progress } = this.#options
    if (this.#told !== undefined) return { error: this.#told, isCanceled: false }
    if (!stop.signal.aborted) return { error: this.#tell(error), isCanceled: false }
    progress({ ...this.#vertex, completed: Date.now(), error: canceled })
    const reason: unknown = stop.signal.reason
    return { error: reason instanceof Error ? reason : new CairnError('CANCELED', 'canceled'), isCanceled: true }
  }

  #write(stream: 1 | 2, data: Uint8Array): void {
    this.#tail.push(data)
    this.#options.progress({ type: 'log', vertex: this.#vertex.id, stream, data, timestamp: Date.now() })
  }

  async #commandFailed(command: FailedCommand): Promise<void> {
    const { onFailure, stop } = this.#options
    if (onFailure === undefined || stop.signal.aborted) return
    this.#told = this.#tell(command.error)
    await onFailure({ ...command, error: this.#told })
  }

  /** Shows the failure and stops the build. */
  #tell(error: unknown): CairnError {
    const { dockerfile, progress, stop } = this.#options
    const located = atRange(error, dockerfile, this.#op.range, { title: this.#op.title, logTail: this.#tail.lines() })
    progress({ ...this.#vertex, completed: Date.now(), error: located.message })
    stop.abort(located)
    return located
  }
}
