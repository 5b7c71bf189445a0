/** So many in a time. */
export interface Rate {
  readonly count: number
  /** Milliseconds. */
  readonly period: number
}

const mostKeys = 100_000

interface Bucket {
  tokens: number
  at: number
}

/** Counts by key, with a bucket that fills at the rate and holds one period's worth. */
export class RateLimit {
  readonly rate: Rate
  readonly #buckets = new Map<string, Bucket>()

  constructor(rate: Rate) {
    this.rate = rate
  }

  /** Takes one of what `key` has; gives the milliseconds to wait where there is none, else 0. */
  take(key: string, now: number): number {
    const bucket = this.#bucket(key, now)
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) * this.rate.period) / this.rate.count)
    bucket.tokens--
    return 0
  }

  /** As {@link take}, without taking. */
  wait(key: string, now: number): number {
    if (!this.#buckets.has(key)) return 0
    const { tokens } = this.#bucket(key, now)
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * this.rate.period) / this.rate.count)
  }

  /** How many `key` may take at once. */
  left(key: string, now: number): number {
    return Math.floor(this.#bucket(key, now).tokens)
  }

  #bucket(key: string, now: number): Bucket {
    const { count, period } = this.rate
    const known = this.#buckets.get(key)
    const tokens = known === undefined ? count : Math.min(count, known.tokens + ((now - known.at) * count) / period)
    const bucket = { tokens, at: now }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= mostKeys) break
      this.#buckets.delete(oldest)
    }
    return bucket
  }
}
