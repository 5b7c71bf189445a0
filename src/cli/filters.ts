import { CairnError } from '../errors/error.ts'
import type { Filters } from '../engine/filters.ts'

/** The definition of `--filter` for a command's flags. */
export const filterFlag = {
  type: 'stringArray',
  short: 'f',
  value: 'filter',
  summary: 'Filter output based on conditions provided',
} as const

/** The values of `--filter name=value`, by name. Throws USAGE with docker's text; `flag` is how the flag is shown. */
export function parseFilters(values: readonly string[], flag = '-f, --filter'): Filters {
  const filters = new Map<string, string[]>()
  for (const text of values) {
    if (text === '') continue
    const equals = text.indexOf('=')
    if (equals < 0)
      throw new CairnError(
        'USAGE',
        `invalid argument ${JSON.stringify(text)} for "${flag}" flag: bad format of filter (expected name=value)`,
      )
    const name = text.slice(0, equals).trim().toLowerCase()
    filters.set(name, [...(filters.get(name) ?? []), text.slice(equals + 1).trim()])
  }
  return filters
}
