import { csvFields } from '../dockerfile/csv.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { usageError } from '../errors/error.ts'

/** The entries of all values, the same one only once. */
export function cacheFields(values: readonly string[]): readonly CacheFields[] {
  const entries = values
    .filter((value) => value !== '')
    // Without a key each field is a name by itself.
    .flatMap((value) => (value.includes('=') ? [value] : csvFields(value, usageError)))
  return [...new Set(entries)].map((entry) => new CacheFields(entry))
}

/** The keys of one `--cache-from` or `--cache-to`. Each is taken once; one that nobody took is refused. */
export class CacheFields {
  readonly type: string
  /** As the user wrote it, without what is secret. */
  readonly text: string
  readonly #values = new Map<string, string>()
  readonly #taken = new Set<string>()

  constructor(text: string) {
    const fields = csvFields(text, usageError)
    this.text = fields.map(withoutSecret).join(',')
    const [only = ''] = fields
    if (fields.length === 1 && !only.includes('=')) {
      this.type = 'registry'
      this.#values.set('ref', only)
      return
    }
    let type = ''
    for (const field of fields) {
      const equals = field.indexOf('=')
      if (equals < 0) throw usageError(`invalid value ${field}`)
      const [key, value] = [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)]
      if (key === 'type') type = value
      else this.#values.set(key, value)
    }
    if (type === '') throw usageError(`type required for ${JSON.stringify(this.text)}`)
    this.type = type
  }

  take(name: string): string | undefined {
    this.#taken.add(name)
    return this.#values.get(name)
  }

  /** A number of things, at least one. */
  count(name: string, absent: number): number {
    const value = this.take(name)
    if (value === undefined) return absent
    if (!/^[1-9]\d{0,8}$/.test(value)) throw usageError(`${name} must be a positive integer`)
    return Number(value)
  }

  bool(name: string, absent: boolean): boolean {
    const value = this.take(name)
    if (value === undefined) return absent
    const parsed = parseGoBool(value)
    if (parsed === undefined) throw usageError(`failed to parse ${name}: ${JSON.stringify(value)} is no bool`)
    return parsed
  }

  refuseOthers(flag: string): void {
    for (const name of this.#values.keys())
      if (!this.#taken.has(name)) throw usageError(`unknown key ${JSON.stringify(name)} in ${flag} ${this.text}`)
  }
}

const secretKeys: ReadonlySet<string> = new Set([
  'access_key_id',
  'secret_access_key',
  'session_token',
  'token',
  'ghtoken',
])

function withoutSecret(field: string): string {
  const [key = ''] = field.split('=', 1)
  return secretKeys.has(key.toLowerCase()) ? `${key}=***` : field
}
