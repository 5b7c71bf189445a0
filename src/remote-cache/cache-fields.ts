import { csvFields } from '../dockerfile/csv.ts'
import { FlagFields } from '../dockerfile/flag-fields.ts'
import { usageError } from '../errors/error.ts'

/** The entries of all values of `--cache-from` or `--cache-to`, the same one only once. Throws USAGE in buildx's words. */
export function cacheFields(values: readonly string[]): readonly FlagFields[] {
  const entries = values
    .filter((value) => value !== '')
    // Without a key each field is a name by itself.
    .flatMap((value) => (value.includes('=') ? [value] : csvFields(value, usageError)))
  return [...new Set(entries)].map(entryFields)
}

function entryFields(entry: string): FlagFields {
  if (!entry.includes('=')) return FlagFields.of(entry, { type: 'registry', ref: entry })
  const fields = FlagFields.parse(entry, secretKeys)
  if (fields.type === '') throw usageError(`type required for ${JSON.stringify(fields.text)}`)
  return fields
}

const secretKeys: ReadonlySet<string> = new Set([
  'access_key_id',
  'secret_access_key',
  'session_token',
  'token',
  'ghtoken',
])
