import { ForkedMap } from './forked-map.ts'

/**
 * The variables of one stage: ENV and ARG in one list for RUN and expansion, where the later line wins as in BuildKit,
 * and apart from that the ENV of the image. Nothing is copied when a stage begins or a RUN is planned.
 */
export class Environment {
  readonly #values: ForkedMap<string>
  readonly #image: ForkedMap<string>
  /** What was set, in the order of the text; what a RUN sees is the list up to some point. */
  readonly #settings: (readonly [name: string, value: string])[] = []
  readonly #below: Environment | undefined
  /** ENVs of the image that an ARG has hidden since. */
  readonly #hidden = new Set<string>()

  private constructor(below?: Environment) {
    this.#below = below
    this.#values = below === undefined ? new ForkedMap() : below.#values.fork()
    this.#image = below === undefined ? new ForkedMap() : below.#image.fork()
    if (below === undefined) return
    // What the image brings counts anew: an ENV hides an ARG that came after it in the stage below.
    for (const name of below.#hidden) this.#set(name, this.#image.get(name) ?? '')
  }

  /** That of an image, given as `KEY=value`. */
  static of(entries: readonly string[]): Environment {
    const environment = new Environment()
    for (const entry of entries) environment.setImage(...splitEntry(entry))
    return environment
  }

  /** That of a stage which is built from the stage of this one; this one must not change any more. */
  inherit(): Environment {
    return new Environment(this)
  }

  get(name: string): string | undefined {
    return this.#values.get(name)
  }

  /** True where a stage built from this one begins with other values: ARGs hide ENVs of the image here. */
  get hidesImage(): boolean {
    return this.#hidden.size > 0
  }

  /** Names of all variables that are set, put together when they are asked for. */
  get names(): Iterable<string> {
    return { [Symbol.iterator]: () => this.#values.entries().keys() }
  }

  /** As ENV does: for RUN and expansion, and in the image. */
  setImage(name: string, value: string): void {
    this.#set(name, value)
    this.#image.set(name, value)
    this.#hidden.delete(name)
  }

  /** As ARG does: for RUN and expansion only. */
  setArgument(name: string, value: string): void {
    this.#set(name, value)
    if (this.#image.get(name) !== undefined) this.#hidden.add(name)
  }

  /** ENV of the image, as `KEY=value` in the order the names came. */
  get imageEntries(): string[] {
    return [...this.#image.entries()].map(([name, value]) => `${name}=${value}`)
  }

  /** A function for the variables as they are now, whatever is set afterwards: each call puts them together anew. */
  snapshot(): () => ReadonlyMap<string, string> {
    const count = this.#settings.length
    return () => this.#upTo(count)
  }

  #set(name: string, value: string): void {
    this.#values.set(name, value)
    this.#settings.push([name, value])
  }

  /**
   * The first `count` settings on top of those of the stages below, each name where it was set last; a stage begins by
   * setting what its image brings, as with BuildKit, whose cache keys have this order.
   */
  #upTo(count: number): Map<string, string> {
    const lists: (readonly (readonly [string, string])[])[] = [this.#settings.slice(0, count)]
    for (let below = this.#below; below !== undefined; below = below.#below) lists.push(below.#settings)
    const variables = new Map<string, string>()
    if (this.#below !== undefined) lists.splice(1, 0, [...this.#below.#image.entries()])
    for (const list of lists.reverse()) {
      for (const [name, value] of list) {
        variables.delete(name)
        variables.set(name, value)
      }
    }
    return variables
  }
}

/** `KEY=value` as key and value; a missing `=` gives an empty value. */
function splitEntry(entry: string): [name: string, value: string] {
  const equals = entry.indexOf('=')
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
}
