import type { ProgressListener, StatusEvent } from '../../progress/events.ts'

/** What is shown of one export. */
export class ExportStep {
  readonly id: string
  readonly #progress: ProgressListener
  readonly #started: number

  constructor(id: string, progress: ProgressListener, started: number) {
    this.id = id
    this.#progress = progress
    this.#started = started
  }

  /** Says that something is done; `size` in bytes where that matters. */
  status(id: string, size = 0): void {
    const now = Date.now()
    const times = { timestamp: now, started: this.#started, completed: now }
    this.#progress({ type: 'status', vertex: this.id, id, current: size, total: 0, ...times } satisfies StatusEvent)
  }

  warn(short: string): void {
    this.#progress({ type: 'warning', vertex: this.id, level: 1, short })
  }
}

/** Shows the export `id` while `work` does it. Throws what that throws. */
export async function showExport<Result>(
  id: string,
  name: string,
  progress: ProgressListener,
  work: (step: ExportStep) => Promise<Result>,
): Promise<Result> {
  const vertex = { type: 'vertex', id, name, started: Date.now() } as const
  progress(vertex)
  try {
    const result = await work(new ExportStep(id, progress, vertex.started))
    progress({ ...vertex, completed: Date.now() })
    return result
  } catch (error) {
    progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
    throw error
  }
}
