import { withSuggestion } from './suggest.ts'

/** What a flag of an instruction takes: true or false, one text, or a text each time it is given. */
export type FlagKind = 'boolean' | 'text' | 'list'

/** The flags an instruction knows, by name without dashes. */
export type FlagTable = Readonly<Record<string, FlagKind>>

/** What each flag of a table was given; absent where it was not. */
export type FlagValues<T extends FlagTable> = {
  readonly [name in keyof T]?: T[name] extends 'boolean' ? boolean : T[name] extends 'text' ? string : readonly string[]
}

/** A flag cannot be used; the message is BuildKit's. */
export class FlagError extends Error {
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}

/** Reads `flags` (`--name`, `--name=value`) by `table`. Throws {@link FlagError}. */
export function parseFlags<T extends FlagTable>(flags: readonly string[], table: T): FlagValues<T> {
  const values: Record<string, boolean | string | string[]> = {}
  for (const flag of flags) {
    const equals = flag.indexOf('=')
    const written = equals < 0 ? flag : flag.slice(0, equals)
    const value = equals < 0 ? undefined : flag.slice(equals + 1)
    const name = written.slice(2)
    const kind = Object.hasOwn(table, name) ? table[name] : undefined
    if (kind === undefined) {
      throw new FlagError(withSuggestion(`unknown flag: ${written}`, name, Object.keys(table), true))
    }
    const before = values[name]
    if (kind === 'list' && Array.isArray(before) && value !== undefined) {
      before.push(value)
      continue
    }
    if (before !== undefined && kind !== 'list') throw new FlagError(`duplicate flag specified: ${written}`)
    if (kind === 'boolean') {
      values[name] = booleanValue(written, value)
      continue
    }
    if (value === undefined) throw new FlagError(`missing a value on flag: ${written}`)
    values[name] = kind === 'list' ? [value] : value
  }
  return values as FlagValues<T>
}

function booleanValue(flag: string, value: string | undefined): boolean {
  if (value === undefined) return true
  switch (value.toLowerCase()) {
    case 'true':
      return true
    case 'false':
      return false
    case '':
      throw new FlagError(`missing a value on flag: ${flag}`)
    default:
      throw new FlagError(`expecting boolean value for flag ${flag}, not: ${value}`)
  }
}
