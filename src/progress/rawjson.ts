import type { Display, DisplaySink } from './display.ts'
import type { ProgressEvent, VertexId, WarningSource } from './events.ts'
import { Trace } from './trace.ts'

/** One JSON object a line in the form of BuildKit's SolveStatus; `reason` of a vertex is Cairn's own. */
export class RawJsonDisplay implements Display {
  readonly #sink: DisplaySink
  readonly #trace = new Trace()

  constructor(sink: DisplaySink) {
    this.#sink = sink
  }

  handle(event: ProgressEvent): void {
    this.#trace.apply(event)
    this.#sink.write(`${JSON.stringify(solveStatus(event))}\n`)
  }

  logTail(vertex: VertexId): readonly string[] {
    return this.#trace.vertexes.get(vertex)?.tail.lines() ?? []
  }

  finish(): void {}
}

/** An event as BuildKit's client.SolveStatus marshals: RFC 3339 times, bytes in base64, empty fields left out. */
export function solveStatus(event: ProgressEvent): Readonly<Record<string, unknown>> {
  switch (event.type) {
    case 'vertex': {
      const { id, name, inputs = [], started, completed, cached, error, reason } = event
      return {
        vertexes: [
          {
            digest: id,
            ...(inputs.length === 0 ? {} : { inputs }),
            name,
            ...times({ started, completed }),
            ...(cached === true ? { cached } : {}),
            ...(error === undefined ? {} : { error }),
            ...(reason === undefined ? {} : { reason }),
          },
        ],
      }
    }
    case 'status': {
      const { vertex, id, current, total, timestamp, started, completed } = event
      const size = { ...(total === 0 ? {} : { total }), current }
      return { statuses: [{ id, vertex, ...size, ...times({ timestamp, started, completed }) }] }
    }
    case 'log': {
      const { vertex, stream, data, timestamp } = event
      return { logs: [{ vertex, stream, data: data.toBase64(), ...times({ timestamp }) }] }
    }
    case 'warning': {
      const { vertex, level, short, detail, url, source } = event
      const warning = {
        vertex,
        ...(level === undefined ? {} : { level }),
        short: base64(short),
        ...(detail === undefined ? {} : { detail: detail.map(base64) }),
        ...(url === undefined ? {} : { url }),
        ...(source === undefined ? {} : warningSource(source)),
      }
      return { warnings: [warning] }
    }
    default:
      return event satisfies never
  }
}

function warningSource({ filename, data, start, end }: WarningSource): Readonly<Record<string, unknown>> {
  return {
    sourceInfo: { filename, data: bytesOf(data).toBase64(), language: 'Dockerfile' },
    range: Array.from({ length: end - start + 1 }, (_, index) => {
      const line = start + index
      return { start: { line }, end: { line } }
    }),
  }
}

function bytesOf(data: Uint8Array | string): Uint8Array {
  return typeof data === 'string' ? new TextEncoder().encode(data) : data
}

function times(moments: Readonly<Record<string, number | undefined>>): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {}
  for (const [name, moment] of Object.entries(moments))
    if (moment !== undefined) texts[name] = new Date(moment).toISOString()
  return texts
}

function base64(text: string): string {
  return bytesOf(text).toBase64()
}
