import { usageError } from '../errors/error.ts'
import { csvPairs } from './csv.ts'
import { parseGoBool } from './go-bool.ts'

const none: ReadonlySet<string> = new Set()

/**
 * The `key=value` fields of one value of a flag, as of `--output type=local,dest=out`. Keys are read without regard to
 * case; of several fields with one key the last counts. Whoever reads them takes each key it knows: one that is left is
 * refused.
 */
export class FlagFields {
  /** As the user wrote it, without what is secret. */
  readonly text: string
  readonly #values: ReadonlyMap<string, string>
  readonly #taken = new Set<string>()

  private constructor(text: string, values: ReadonlyMap<string, string>) {
    this.text = text
    this.#values = values
  }

  /** Reads a value. {@link text} does not show the values of `secretKeys`. Throws USAGE in buildx's words. */
  static parse(text: string, secretKeys: ReadonlySet<string> = none): FlagFields {
    const shown: string[] = []
    let hasSecret = false
    const values = new Map<string, string>()
    for (const { field, key: written, value } of csvPairs(text, usageError)) {
      if (value === undefined) throw usageError(`invalid value ${field}`)
      const key = written.trim().toLowerCase()
      const isSecret = secretKeys.has(key)
      hasSecret ||= isSecret
      shown.push(isSecret ? `${written}=***` : field)
      values.set(key, value)
    }
    return new FlagFields(hasSecret ? shown.join(',') : text, values)
  }

  /** What a value that is no list of fields, `text`, stands for. */
  static of(text: string, values: Readonly<Record<string, string>>): FlagFields {
    return new FlagFields(text, new Map(Object.entries(values)))
  }

  /** `type=`; empty where there is none. */
  get type(): string {
    return this.take('type') ?? ''
  }

  take(name: string): string | undefined {
    this.#taken.add(name)
    return this.#values.get(name)
  }

  /** The fields whose keys match `pattern`. */
  takeMatches(pattern: RegExp): (readonly [match: RegExpExecArray, value: string])[] {
    return [...this.#values].flatMap(([name, value]) => {
      const match = pattern.exec(name)
      if (match === null) return []
      this.#taken.add(name)
      return [[match, value] as const]
    })
  }

  bool(name: string, absent: boolean): boolean {
    const value = this.take(name)
    if (value === undefined) return absent
    const parsed = parseGoBool(value)
    if (parsed === undefined) throw usageError(`non-bool value specified for ${name}: ${JSON.stringify(value)}`)
    return parsed
  }

  /** A number of things, at least one. */
  count(name: string, absent: number): number {
    const value = this.take(name)
    if (value === undefined) return absent
    if (!/^[1-9]\d{0,8}$/.test(value)) throw usageError(`${name} must be a positive integer`)
    return Number(value)
  }

  oneOf<Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const given = this.take(name)
    const known = values.find((value) => value === given)
    if (given !== undefined && known === undefined)
      throw usageError(`invalid value ${name}=${given}`, { hint: `It is ${values.join(' or ')}.` })
    return known
  }

  /** Throws USAGE for a key that nobody took; `where` says in a message what the fields are of. */
  refuseOthers(where: string): void {
    for (const name of this.#values.keys())
      if (!this.#taken.has(name)) throw usageError(`unknown key ${JSON.stringify(name)} in ${where} ${this.text}`)
  }
}
