import type { Display } from './display.ts'
import type { ProgressEvent, VertexId } from './events.ts'
import { Trace } from './trace.ts'

/** Shows nothing, but remembers what the report of a failure needs. */
export class QuietDisplay implements Display {
  readonly #trace = new Trace()

  handle(event: ProgressEvent): void {
    this.#trace.apply(event)
  }

  logTail(vertex: VertexId): readonly string[] {
    return this.#trace.vertexes.get(vertex)?.tail.lines() ?? []
  }

  finish(): void {}
}
