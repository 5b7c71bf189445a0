import { isCanceled, type ProgressEvent, type StatusEvent, type VertexId, type WarningEvent } from './events.ts'

/** What is known of one step. */
export interface Vertex {
  readonly id: VertexId
  name: string
  started: number | undefined
  completed: number | undefined
  cached: boolean
  error: string | undefined
  reason: string | undefined
  /** In the order they began, the latest event of each. */
  readonly statuses: Map<string, StatusEvent>
  readonly warnings: WarningEvent[]
  readonly tail: LogTail
}

/** How a finished step ended. */
export type Outcome = 'done' | 'cached' | 'failed' | 'canceled'

/** How a vertex ended; undefined while it waits or runs. */
export function outcomeOf(vertex: Vertex): Outcome | undefined {
  if (vertex.completed === undefined) return undefined
  if (vertex.error !== undefined) return isCanceled(vertex.error) ? 'canceled' : 'failed'
  return vertex.cached ? 'cached' : 'done'
}

/** All steps of one build, folded from its events. */
export class Trace {
  /** In the order they were first told of. */
  readonly vertexes = new Map<VertexId, Vertex>()

  /** Takes one event in. Gives the vertex it is about, or undefined when that was never announced. */
  apply(event: ProgressEvent): Vertex | undefined {
    if (event.type === 'vertex') {
      const vertex = this.vertexes.get(event.id) ?? newVertex(event.id)
      this.vertexes.set(event.id, vertex)
      vertex.name = event.name
      vertex.started = event.started ?? vertex.started
      vertex.completed = event.completed
      vertex.cached = event.cached ?? false
      vertex.error = event.error
      vertex.reason = event.reason ?? vertex.reason
      return vertex
    }
    const vertex = this.vertexes.get(event.vertex)
    if (vertex === undefined) return undefined
    switch (event.type) {
      case 'status':
        vertex.statuses.set(event.id, event)
        break
      case 'log':
        vertex.tail.push(event.data)
        break
      case 'warning':
        vertex.warnings.push(event)
        break
      default:
        event satisfies never
    }
    return vertex
  }
}

function newVertex(id: VertexId): Vertex {
  return {
    id,
    name: '',
    started: undefined,
    completed: undefined,
    cached: false,
    error: undefined,
    reason: undefined,
    statuses: new Map(),
    warnings: [],
    tail: new LogTail(),
  }
}

const longestTail = 64 * 1024

/** The last lines of a log, whatever its length: at most `lines` of them and 64 KiB. */
export class LogTail {
  readonly #lines: number
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(lines = 20) {
    this.#lines = lines
  }

  push(data: Uint8Array): void {
    const added = data.subarray(-longestTail)
    const start = startOfTail(added, this.#lines)
    if (start > 0) this.#bytes = added.slice(start)
    else {
      const kept = this.#bytes.subarray(Math.max(0, this.#bytes.length + added.length - longestTail))
      const joined = Buffer.concat([kept, added])
      this.#bytes = joined.subarray(startOfTail(joined, this.#lines))
    }
  }

  /** The last lines, without line ends; of a line that `\r` rewrote, what is left of it. */
  lines(): readonly string[] {
    const text = new TextDecoder().decode(this.#bytes)
    if (text === '') return []
    return text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.replace(/\r+$/, ''))
      .map((line) => line.slice(line.lastIndexOf('\r') + 1))
  }
}

/** Where the last `lines` lines of `bytes` begin. */
function startOfTail(bytes: Uint8Array, lines: number): number {
  let at = bytes.byteLength - 1
  for (let found = 0; found < lines; found++) {
    // A negative place would count from the end.
    if (at <= 0) return 0
    at = bytes.lastIndexOf(10, at - 1)
    if (at < 0) return 0
  }
  return at + 1
}
