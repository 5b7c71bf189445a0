import type { RequestRecord } from './request-record.ts'

/** Upper bounds of the histogram of durations, in seconds. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60] as const

interface Durations {
  readonly counts: number[]
  sum: number
  count: number
}

/** Counters of one server, as Prometheus reads them. Labels are of closed sets: clients cannot make more. */
export class Metrics {
  readonly #requests = new Map<string, number>()
  readonly #durations = new Map<string, Durations>()
  readonly #cache = new Map<string, number>()
  readonly #bytes = { received: 0, sent: 0, fetched: 0 }
  readonly #garbage = { runs: 0, bytes: 0 }
  readonly #startedAt = Date.now() / 1000
  #inFlight = 0

  begin(): void {
    this.#inFlight++
  }

  observe({ method, route, status, duration, received, sent }: RequestRecord): void {
    this.#inFlight--
    const kind = route?.kind ?? 'other'
    const labels = `method="${knownMethod(method)}",route="${kind}",code="${status}"`
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1)
    const durations = this.#durationsOf(kind)
    const seconds = duration / 1000
    for (const [index, bound] of bounds.entries())
      if (seconds <= bound) durations.counts[index] = (durations.counts[index] ?? 0) + 1
    durations.sum += seconds
    durations.count++
    this.#bytes.received += received
    this.#bytes.sent += sent
  }

  /** Counts what a request to a cache of other registries came to. */
  observeCache(result: string): void {
    const labels = `result="${result}"`
    this.#cache.set(labels, (this.#cache.get(labels) ?? 0) + 1)
  }

  observeFetch(bytes: number): void {
    this.#bytes.fetched += bytes
  }

  observeGarbage(freed: number): void {
    this.#garbage.runs++
    this.#garbage.bytes += freed
  }

  /** The exposition format of Prometheus, version 0.0.4. */
  format(): string {
    return [
      ...metric('cairn_registry_requests_total', 'counter', 'Requests answered.', this.#requests),
      ...this.#histogram(),
      ...single('cairn_registry_requests_in_flight', 'gauge', 'Requests being answered.', this.#inFlight),
      ...single('cairn_registry_received_bytes_total', 'counter', 'Bytes of request bodies.', this.#bytes.received),
      ...single('cairn_registry_sent_bytes_total', 'counter', 'Bytes of answers.', this.#bytes.sent),
      ...metric('cairn_registry_cache_requests_total', 'counter', 'Requests for cached registries.', this.#cache),
      ...single('cairn_registry_cache_fetched_bytes_total', 'counter', 'Blobs from them.', this.#bytes.fetched),
      ...single('cairn_registry_gc_runs_total', 'counter', 'Garbage collections.', this.#garbage.runs),
      ...single('cairn_registry_gc_freed_bytes_total', 'counter', 'Bytes freed by them.', this.#garbage.bytes),
      ...single('process_resident_memory_bytes', 'gauge', 'Resident memory.', process.memoryUsage.rss()),
      ...single('process_start_time_seconds', 'gauge', 'Start of the process.', this.#startedAt),
      '',
    ].join('\n')
  }

  #histogram(): string[] {
    const name = 'cairn_registry_request_seconds'
    const lines = [`# HELP ${name} Time until an answer begins.`, `# TYPE ${name} histogram`]
    for (const [kind, { counts, sum, count }] of this.#durations) {
      for (const [index, bound] of bounds.entries())
        lines.push(`${name}_bucket{route="${kind}",le="${bound}"} ${counts[index] ?? 0}`)
      lines.push(`${name}_bucket{route="${kind}",le="+Inf"} ${count}`)
      lines.push(`${name}_sum{route="${kind}"} ${sum}`, `${name}_count{route="${kind}"} ${count}`)
    }
    return lines
  }

  #durationsOf(kind: string): Durations {
    const known = this.#durations.get(kind)
    if (known !== undefined) return known
    const fresh = { counts: bounds.map(() => 0), sum: 0, count: 0 }
    this.#durations.set(kind, fresh)
    return fresh
  }
}

function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other'
}

function metric(name: string, type: string, help: string, values: ReadonlyMap<string, number>): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...[...values].map(([labels, value]) => `${name}{${labels}} ${value}`),
  ]
}

function single(name: string, type: string, help: string, value: number): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name} ${value}`]
}
