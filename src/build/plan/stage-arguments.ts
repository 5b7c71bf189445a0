import type { Environment } from './environment.ts'
import { ForkedMap } from './forked-map.ts'

/** The ARGs of a stage and of those below it, which Docker writes in front of each RUN in the history. */
export class StageArguments {
  readonly #defaults: ForkedMap<string>
  /** ` a=1 b=2` as it was when nothing had changed since, with the number of arguments. */
  #text: string | undefined
  #count: number

  private constructor(below?: StageArguments, isSame = true) {
    this.#defaults = below === undefined ? new ForkedMap() : below.#defaults.fork()
    this.#text = below === undefined ? '' : isSame ? below.#text : undefined
    this.#count = below === undefined ? 0 : below.#count
  }

  static none(): StageArguments {
    return new StageArguments()
  }

  /**
   * Those of a stage which is built from the stage of these; these must not change any more. `isSame` says that its
   * variables begin with the values they have here.
   */
  inherit(isSame: boolean): StageArguments {
    return new StageArguments(this, isSame)
  }

  /** True when one has this name. */
  has(name: string): boolean {
    return this.#defaults.get(name) !== undefined
  }

  /** An ARG with the value it got; its variable is set already where it has one. */
  declare(name: string, value: string | undefined, environment: Environment): void {
    if (this.#defaults.get(name) !== undefined) this.#text = undefined
    else {
      this.#count++
      if (this.#text !== undefined) this.#text += ` ${name}=${environment.get(name) ?? value ?? ''}`
    }
    this.#defaults.set(name, value ?? '')
  }

  /** To be called when an ENV sets a variable. */
  onSet(name: string): void {
    if (this.#text !== undefined && this.#defaults.get(name) !== undefined) this.#text = undefined
  }

  /** `|2 a=1 b=2 ` with the current values, or nothing where there are none. */
  prefix(environment: Environment): string {
    if (this.#count === 0) return ''
    if (this.#text === undefined) {
      const all = [...this.#defaults.entries()]
      this.#text = all.map(([name, value]) => ` ${name}=${environment.get(name) ?? value}`).join('')
    }
    return `|${this.#count}${this.#text} `
  }
}
