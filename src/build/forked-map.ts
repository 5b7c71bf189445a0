/** With this many maps on top of each other everything is copied once, so that no look-up goes through more. */
const maxMaps = 16

/** A map that is forked without copying it, as a stage begins with all that the stage below it has. */
export class ForkedMap<Value> {
  /** The lowest first; the last is this map's own. */
  readonly #maps: readonly ReadonlyMap<string, Value>[]
  readonly #own: Map<string, Value>

  constructor(below: readonly ReadonlyMap<string, Value>[] = []) {
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
    const filled = this.#maps.filter(({ size }) => size > 0)
    return new ForkedMap(filled.length < maxMaps ? filled : [this.entries()])
  }

  /** Everything, in the order in which the names came. */
  entries(): Map<string, Value> {
    const all = new Map<string, Value>()
    for (const map of this.#maps) for (const [name, value] of map) all.set(name, value)
    return all
  }
}
