import type { ProgressListener } from '../progress/events.ts'

/** How work that is shown tells of bytes it took in. */
export type BytesListener = (current: number, total: number) => void

export interface ShownWork {
  /** Tells the vertex from others; the name where it is left out. */
  readonly id?: string
  /** As the user sees it: `[internal] load .dockerignore`. */
  readonly name: string
  /** Names the bytes it tells of: `transferring context:`. */
  readonly status: string
}

/** Milliseconds between two times that bytes are told of. */
const interval = 100

/** Runs `work` and shows it as a vertex, with the bytes that it tells of. */
export async function shown<Value>(
  progress: ProgressListener,
  work: ShownWork,
  run: (bytes: BytesListener) => Promise<Value> | Value,
): Promise<Value> {
  return await shownWithUse(progress, work, run, (value) => value)
}

/** As {@link shown}; what `use` makes of the result belongs to the vertex, and comes after all bytes. */
export async function shownWithUse<Value, Result>(
  progress: ProgressListener,
  { id: vertexId, name, status }: ShownWork,
  work: (bytes: BytesListener) => Promise<Value> | Value,
  use: (value: Value) => Result,
): Promise<Result> {
  const started = Date.now()
  const id = vertexId ?? name
  const vertex = { type: 'vertex', id, name, started } as const
  const base = { type: 'status', vertex: id, id: status, started } as const
  let told = started
  let last: { current: number; total: number } | undefined
  progress(vertex)
  try {
    const value = await work((current, total) => {
      last = { current, total }
      const now = Date.now()
      if (now - told < interval) return
      told = now
      progress({ ...base, ...last, timestamp: now })
    })
    const now = Date.now()
    if (last !== undefined) progress({ ...base, ...last, timestamp: now, completed: now })
    const result = use(value)
    progress({ ...vertex, completed: Date.now() })
    return result
  } catch (error) {
    progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
    throw error
  }
}
