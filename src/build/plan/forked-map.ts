type Layer<Value> = ReadonlyMap<string, Value>

/**
 * A map that is forked without copying it, as a stage begins with all that the stage below it has. Maps that came after
 * each other are joined once they are of a size, so that there are never more than a few to look through, and each entry
 * is copied a few times only.
 */
export class ForkedMap<Value> {
  /** The lowest first; the last is this map's own. */
  readonly #maps: readonly Layer<Value>[]
  readonly #own: Map<string, Value>
  /** What forks stand on. */
  #joined: readonly Layer<Value>[] | undefined

  constructor(below: readonly Layer<Value>[] = []) {
    this.#own = new Map()
    this.#maps = [...below, this.#own]
  }

  get(name: string): Value | undefined {
    for (let index = this.#maps.length - 1; index >= 0; index--) {
      const value = this.#maps[index]?.get(name)
      if (value !== undefined) return value
    }
    return undefined
  }

  /** A name that is there already keeps its place in the order. */
  set(name: string, value: Value): void {
    this.#own.set(name, value)
  }

  /** A map that begins with what this one has. This one must not change any more. */
  fork(): ForkedMap<Value> {
    return new ForkedMap((this.#joined ??= joined(this.#maps)))
  }

  /** Everything, in the order in which the names came. */
  entries(): Map<string, Value> {
    const all = new Map<string, Value>()
    for (const map of this.#maps) for (const [name, value] of map) all.set(name, value)
    return all
  }
}

/** The same entries in maps each of which is more than twice as large as the next. */
function joined<Value>(maps: readonly Layer<Value>[]): Layer<Value>[] {
  const kept: Layer<Value>[] = []
  for (let map of maps) {
    if (map.size === 0) continue
    for (let below = kept.at(-1); below !== undefined && below.size <= 2 * map.size; below = kept.at(-1)) {
      map = new Map([...below, ...map])
      kept.pop()
    }
    kept.push(map)
  }
  return kept
}
