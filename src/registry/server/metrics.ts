import type { RequestRecord } from './request-record.ts'

/** Upper bounds of the histogram of durations, in seconds. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60] as const

interface Durations {
  readonly counts: number[]
  sum: number
  count: number
}

/** What one process has counted. */
export interface MetricsSnapshot {
  readonly requests: ReadonlyMap<string, number>
  readonly durations: ReadonlyMap<string, Readonly<Durations>>
  readonly cache: ReadonlyMap<string, number>
  readonly bytes: { readonly received: number; readonly sent: number; readonly fetched: number }
  readonly inFlight: number
  /** Resident memory in bytes. */
  readonly memory: number
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

  /** What was counted, for another process to add to its own. */
  snapshot(): MetricsSnapshot {
    return {
      requests: this.#requests,
      durations: this.#durations,
      cache: this.#cache,
      bytes: this.#bytes,
      inFlight: this.#inFlight,
      memory: process.memoryUsage.rss(),
    }
  }

  /** The exposition format of Prometheus, version 0.0.4, with what other processes of the server have counted. */
  format(others: readonly MetricsSnapshot[] = []): string {
    const all = [this.snapshot(), ...others]
    const total = (value: (one: MetricsSnapshot) => number) => all.reduce((sum, one) => sum + value(one), 0)
    const bytes = (name: keyof MetricsSnapshot['bytes']) => total((one) => one.bytes[name])
    return [
      ...metric('cairn_registry_requests_total', 'counter', 'Requests answered.', sums(all.map((one) => one.requests))),
      ...histogram(all.map((one) => one.durations)),
      ...single(
        'cairn_registry_requests_in_flight',
        'gauge',
        'Requests being answered.',
        total((one) => one.inFlight),
      ),
      ...single('cairn_registry_received_bytes_total', 'counter', 'Bytes of request bodies.', bytes('received')),
      ...single('cairn_registry_sent_bytes_total', 'counter', 'Bytes of answers.', bytes('sent')),
      ...metric(
        'cairn_registry_cache_requests_total',
        'counter',
        'Requests for cached registries.',
        sums(all.map((one) => one.cache)),
      ),
      ...single('cairn_registry_cache_fetched_bytes_total', 'counter', 'Blobs from them.', bytes('fetched')),
      ...single('cairn_registry_gc_runs_total', 'counter', 'Garbage collections.', this.#garbage.runs),
      ...single('cairn_registry_gc_freed_bytes_total', 'counter', 'Bytes freed by them.', this.#garbage.bytes),
      ...single(
        'process_resident_memory_bytes',
        'gauge',
        'Resident memory.',
        total((one) => one.memory),
      ),
      ...single('process_start_time_seconds', 'gauge', 'Start of the process.', this.#startedAt),
      '',
    ].join('\n')
  }

  #durationsOf(kind: string): Durations {
    const known = this.#durations.get(kind)
    if (known !== undefined) return known
    const fresh = { counts: bounds.map(() => 0), sum: 0, count: 0 }
    this.#durations.set(kind, fresh)
    return fresh
  }
}

function sums(all: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const sum = new Map<string, number>()
  for (const one of all) for (const [key, value] of one) sum.set(key, (sum.get(key) ?? 0) + value)
  return sum
}

function histogram(all: readonly MetricsSnapshot['durations'][]): string[] {
  const name = 'cairn_registry_request_seconds'
  const lines = [`# HELP ${name} Time until an answer begins.`, `# TYPE ${name} histogram`]
  for (const kind of new Set(all.flatMap((one) => [...one.keys()]))) {
    const found = all.flatMap((one) => one.get(kind) ?? [])
    const total = (value: (one: Readonly<Durations>) => number) => found.reduce((sum, one) => sum + value(one), 0)
    for (const [index, bound] of bounds.entries())
      lines.push(`${name}_bucket{route="${kind}",le="${bound}"} ${total(({ counts }) => counts[index] ?? 0)}`)
    const count = total((one) => one.count)
    lines.push(`${name}_bucket{route="${kind}",le="+Inf"} ${count}`)
    lines.push(`${name}_sum{route="${kind}"} ${total((one) => one.sum)}`, `${name}_count{route="${kind}"} ${count}`)
  }
  return lines
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
