import { parseMilliseconds } from '../dockerfile/duration.ts'
import { csvFields } from '../dockerfile/csv.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { CairnError } from '../errors/error.ts'
import { parseByteSize } from './units.ts'

/**
 * Flags as pflag (the flag library of docker, kubectl and podman) reads them: `--name value`, `--name=value`,
 * `-n value`, `-nvalue`, `-n=value`, `-abc`, `--bool=false`, and `--` to end them. Error texts are pflag's.
 */
interface Common {
  /** One letter, for `-x`. */
  readonly short?: string
  /** What the flag does, for `--help`. Lines are wrapped; `\n` starts a new one. */
  readonly summary: string
  /** The word `--help` and usage show for the value, where it is not the type's own name. */
  readonly value?: string
  /** Not shown by `--help` or completion. */
  readonly hidden?: boolean
  /** Printed to stderr when the flag is used: `Flag --x has been deprecated, <text>`. */
  readonly deprecated?: string
  /** Candidates for shell completion, or `file`/`directory` to let the shell complete paths. */
  readonly complete?: readonly string[] | 'file' | 'directory'
}

/** One flag of a command. `type` decides what `run` receives; without `default` an absent flag reads `undefined`. */
export type FlagDefinition = Common &
  (
    | { readonly type: 'bool'; readonly default?: boolean }
    /**
     * `bare` is the value of the flag when it is written without one (`--sbom` alone). A next word that matches `detached`
     * is its value all the same (`--sbom false`).
     */
    | {
        readonly type: 'string'
        readonly default?: string
        readonly oneOf?: readonly string[]
        readonly bare?: string
        readonly detached?: RegExp
      }
    | { readonly type: 'int'; readonly default?: number }
    /** A number with a fraction, as `--cpus 1.5`. */
    | { readonly type: 'decimal'; readonly default?: number }
    /** A size such as `64m`; `run` receives bytes. */
    | { readonly type: 'bytes'; readonly default?: number }
    /** A Go duration such as `1m30s`; `run` receives milliseconds. */
    | { readonly type: 'duration'; readonly default?: number }
    /** Counts how often it is given: `-vv`. */
    | { readonly type: 'count' }
    /** May be repeated; each value is kept as it is. */
    | { readonly type: 'stringArray' }
    /** May be repeated; each value is a line of comma-separated values. */
    | { readonly type: 'stringSlice' }
  )

export type FlagDefinitions = Readonly<Record<string, FlagDefinition>>

type Choice<Flag> = Flag extends { readonly oneOf: readonly (infer One extends string)[] } ? One : string
type Absent<Flag> = Flag extends { readonly default: string | number } ? never : undefined

/** What `run` receives for one flag. */
export type FlagValue<Flag> = Flag extends { readonly type: 'bool' }
  ? boolean
  : Flag extends { readonly type: 'count' }
    ? number
    : Flag extends { readonly type: 'stringArray' | 'stringSlice' }
      ? readonly string[]
      : Flag extends { readonly type: 'string' }
        ? Choice<Flag> | Absent<Flag>
        : number | Absent<Flag>

/** What `run` receives for all flags, keyed by the flag's long name. */
export type FlagValues<Flags extends FlagDefinitions> = { readonly [Name in keyof Flags]: FlagValue<Flags[Name]> }

export interface ParsedFlags<Flags extends FlagDefinitions> {
  readonly values: FlagValues<Flags>
  /** Positional arguments, without the `--` that ended the flags. */
  readonly args: readonly string[]
  /** Long names of the flags that were written on the command line. */
  readonly given: ReadonlySet<string>
  /** Deprecation notices to print. */
  readonly notices: readonly string[]
}

type Value = string | number | boolean | readonly string[] | undefined

/** Reads one command line. Made once per parse; {@link parseFlags} is the way in. */
class FlagReader {
  readonly values = new Map<string, Value>()
  readonly given = new Set<string>()
  readonly notices: string[] = []
  readonly positionals: string[] = []
  readonly #definitions: FlagDefinitions
  readonly #shorts = new Map<string, string>()
  #rest: string[]

  constructor(definitions: FlagDefinitions, argv: readonly string[]) {
    this.#definitions = definitions
    this.#rest = [...argv]
    for (const [name, flag] of Object.entries(definitions)) {
      if (flag.short !== undefined) this.#shorts.set(flag.short, name)
      this.values.set(name, initialValue(flag))
    }
  }

  read(interspersed: boolean): void {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      if (!word.startsWith('-') || word === '-') {
        this.positionals.push(word)
        if (!interspersed) break
      } else if (word === '--') break
      else if (word.startsWith('--')) this.#readLong(word)
      else this.#readShorts(word.slice(1))
    }
    this.positionals.push(...this.#rest)
  }

  #readLong(word: string): void {
    const body = word.slice(2)
    if (body.startsWith('-') || body.startsWith('=')) throw usage(`bad flag syntax: ${word}`)
    const equals = body.indexOf('=')
    const name = equals < 0 ? body : body.slice(0, equals)
    const flag = Object.hasOwn(this.#definitions, name) ? this.#definitions[name] : undefined
    if (flag === undefined) throw usage(`unknown flag: --${name}`)
    const attached = equals < 0 ? undefined : body.slice(equals + 1)
    const text = attached ?? this.#bareValue(flag) ?? this.#rest.shift()
    if (text === undefined) throw usage(`flag needs an argument: --${name}`)
    this.#assign(name, flag, text)
  }

  #bareValue(flag: FlagDefinition): string | undefined {
    const [next = ''] = this.#rest
    return flag.type === 'string' && flag.detached?.test(next) === true ? undefined : bareValue(flag)
  }

  #readShorts(cluster: string): void {
    for (let at = 0; at < cluster.length; at++) {
      const letter = cluster.charAt(at)
      const name = this.#shorts.get(letter)
      const flag = name === undefined ? undefined : this.#definitions[name]
      if (name === undefined || flag === undefined)
        throw usage(`unknown shorthand flag: '${letter}' in -${cluster.slice(at)}`)
      const after = cluster.slice(at + 1)
      const bare = bareValue(flag)
      if (after.length > 1 && after.startsWith('=')) return this.#assign(name, flag, after.slice(1))
      if (bare !== undefined) {
        this.#assign(name, flag, bare)
        continue
      }
      const text = after === '' ? this.#rest.shift() : after
      if (text === undefined) throw usage(`flag needs an argument: '${letter}' in -${cluster.slice(at)}`)
      return this.#assign(name, flag, text)
    }
  }

  #assign(name: string, flag: FlagDefinition, text: string): void {
    try {
      this.values.set(name, nextValue(flag, text, this.values.get(name), this.given.has(name)))
    } catch (error) {
      const shown = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`
      const reason = error instanceof Error ? error.message : String(error)
      throw usage(`invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${reason}`)
    }
    if (flag.deprecated !== undefined && !this.given.has(name))
      this.notices.push(`Flag --${name} has been deprecated, ${flag.deprecated}`)
    this.given.add(name)
  }
}

/**
 * Reads `argv` by `definitions`. With `interspersed: false` everything from the first positional on is positional
 * (`run IMAGE sh -c …`). Throws USAGE with pflag's own text.
 */
export function parseFlags<const Flags extends FlagDefinitions>(
  definitions: Flags,
  argv: readonly string[],
  { interspersed = true }: { readonly interspersed?: boolean } = {},
): ParsedFlags<Flags> {
  const reader = new FlagReader(definitions, argv)
  reader.read(interspersed)
  return {
    values: Object.fromEntries(reader.values) as FlagValues<Flags>,
    args: reader.positionals,
    given: reader.given,
    notices: reader.notices,
  }
}

function usage(message: string): CairnError {
  return new CairnError('USAGE', message)
}

function initialValue(flag: FlagDefinition): Value {
  switch (flag.type) {
    case 'bool':
      return flag.default ?? false
    case 'count':
      return 0
    case 'stringArray':
    case 'stringSlice':
      return []
    default:
      return flag.default
  }
}

/** The value of a flag that is written without one; `undefined` where one must follow. */
export function bareValue(flag: FlagDefinition): string | undefined {
  if (flag.type === 'bool') return 'true'
  if (flag.type === 'count') return '+1'
  return flag.type === 'string' ? flag.bare : undefined
}

function nextValue(flag: FlagDefinition, text: string, before: Value, given: boolean): Value {
  switch (flag.type) {
    case 'bool':
      return parseBool(text)
    case 'int':
      return parseInteger(text)
    case 'count':
      return text === '+1' ? Number(before) + 1 : parseInteger(text)
    case 'decimal':
      return parseDecimal(text)
    case 'bytes':
      return parseByteSize(text)
    case 'duration':
      return parseMilliseconds(text)
    case 'string':
      // As with docker an empty choice is none.
      if (flag.oneOf !== undefined && text === '') return flag.default
      if (flag.oneOf !== undefined && !flag.oneOf.includes(text))
        throw new Error(`must be one of ${flag.oneOf.map((one) => JSON.stringify(one)).join(', ')}`)
      return text
    case 'stringArray':
      return given && Array.isArray(before) ? [...before, text] : [text]
    case 'stringSlice':
      return given && Array.isArray(before) ? [...before, ...parseCommaSeparated(text)] : parseCommaSeparated(text)
  }
}

/** Go's strconv.ParseBool. Throws an Error with its text. */
export function parseBool(text: string): boolean {
  const value = parseGoBool(text)
  if (value === undefined) throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`)
  return value
}

const integer = /^[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)$/

/** Go's strconv.ParseInt with base 0, within the integers a double can hold exactly. */
export function parseInteger(text: string): number {
  const fail = (why: string): Error => new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`)
  if (!integer.test(text)) throw fail('invalid syntax')
  const negative = text.startsWith('-')
  const digits = text.replace(/^[+-]/, '').replaceAll('_', '')
  const value = Number(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits)
  if (!Number.isSafeInteger(value)) throw fail('value out of range')
  return negative ? -value : value
}

function parseDecimal(text: string): number {
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)$/.test(text)) throw new Error(`failed to parse ${text} as a rational number`)
  return Number(text)
}

/** The fields of a flag that takes a list, read as docker does. The empty text is no value. Throws an Error with Go's text. */
export function parseCommaSeparated(text: string): readonly string[] {
  return text === '' ? [] : csvFields(text, (message) => new Error(message), 'encoding/csv')
}
