/** What was learnt lately, each for its own time; the oldest is forgotten first where there is too much. */
export class Recent<Value> {
  readonly #entries = new Map<string, { readonly value: Value; readonly until: number }>()
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key)
    return entry === undefined || entry.until <= Date.now() ? undefined : entry.value
  }

  /** Keeps a value for `time` milliseconds. */
  put(key: string, value: Value, time: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, until: Date.now() + time })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) return
      this.#entries.delete(oldest)
    }
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}
