import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'

/**
 * The fields of one table of a configuration file, taken one by one; {@link ConfigFields.end} then refuses those that
 * nobody took. Every method throws CONFIG_INVALID naming file and field.
 */
export class ConfigFields {
  readonly #file: string
  readonly #where: string
  readonly #values: Map<string, unknown>
  readonly #known: string[] = []

  constructor(value: unknown, file: string, where = '') {
    this.#file = file
    this.#where = where
    if (!isJsonObject(value)) throw this.#invalid(where === '' ? 'it' : where, 'is not a table')
    this.#values = new Map(Object.entries(value))
  }

  /** Reads a file of TOML. */
  static parse(text: string, file: string): ConfigFields {
    let value: unknown
    try {
      value = Bun.TOML.parse(text)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.replace(/^TOML Parse error: /, '') : String(cause)
      throw new CairnError('CONFIG_INVALID', `${file} is not TOML: ${reason}`, { cause })
    }
    return new ConfigFields(value, file)
  }

  text(name: string): string | undefined {
    const value = this.#take(name)
    if (value === undefined || (typeof value === 'string' && value !== '')) return value
    throw this.#invalid(name, 'is not text')
  }

  /** As {@link text}, for a field that has to be there. */
  required(name: string): string {
    const value = this.text(name)
    if (value !== undefined) return value
    throw this.#invalid(name, 'is missing')
  }

  flag(name: string): boolean | undefined {
    const value = this.#take(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.#invalid(name, 'is neither true nor false')
  }

  /** A whole number, not negative. */
  count(name: string): number | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.#invalid(name, 'is not a count')
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    if (Array.isArray(value) && value.every((one): one is string => typeof one === 'string')) return value
    throw this.#invalid(name, 'is not a list of texts')
  }

  /** One of `choices`. */
  choice<const Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    const found = choices.find((one) => one === value)
    if (found !== undefined) return found
    throw this.#invalid(name, `is ${JSON.stringify(value)}; there are ${choices.join(', ')}`)
  }

  /** A list of {@link choice}s. */
  choices<const Choice extends string>(name: string, choices: readonly Choice[]): readonly Choice[] | undefined {
    return this.texts(name)?.map((value) => {
      const found = choices.find((one) => one === value)
      if (found !== undefined) return found
      throw this.#invalid(name, `has ${JSON.stringify(value)}; there are ${choices.join(', ')}`)
    })
  }

  /** Text that `parse` reads; what that throws is told as wrong in this field. */
  parsed<T>(name: string, parse: (text: string) => T): T | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    try {
      return parse(value)
    } catch (cause) {
      if (cause instanceof CairnError) throw this.#invalid(name, `is wrong: ${cause.message}`, cause)
      throw cause
    }
  }

  table(name: string): ConfigFields | undefined {
    const value = this.#take(name)
    return value === undefined ? undefined : new ConfigFields(value, this.#file, this.#path(name))
  }

  tables(name: string): readonly ConfigFields[] {
    const value = this.#take(name)
    if (value === undefined) return []
    if (!Array.isArray(value)) throw this.#invalid(name, 'is not a list of tables')
    return value.map((one, index) => new ConfigFields(one, this.#file, `${this.#path(name)}[${index}]`))
  }

  /** Refuses what nobody has asked for. */
  end(): void {
    const [unknown] = this.#values.keys()
    if (unknown === undefined) return
    throw this.#invalid(unknown, `is unknown; there are ${this.#known.toSorted().join(', ')}`)
  }

  /** The error to throw for a field that does not fit the others. */
  refusal(name: string, what: string): CairnError {
    return this.#invalid(name, what)
  }

  #take(name: string): unknown {
    this.#known.push(name)
    const value = this.#values.get(name)
    this.#values.delete(name)
    return value
  }

  #path(name: string): string {
    return this.#where === '' ? name : `${this.#where}.${name}`
  }

  #invalid(name: string, what: string, cause?: unknown): CairnError {
    const message = `${this.#file}: ${this.#where === name ? name : this.#path(name)} ${what}`
    return new CairnError('CONFIG_INVALID', message, cause === undefined ? {} : { cause })
  }
}
