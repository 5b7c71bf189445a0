import { usageError } from '../errors/error.ts'

/** Values of a repeated `KEY=value` flag; a key alone has an empty value. The last of one key wins. */
export function keyValues(given: readonly string[], flag: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const item of given) {
    const equals = item.indexOf('=')
    const key = equals < 0 ? item : item.slice(0, equals)
    if (key === '') throw usageError(`invalid ${flag} ${JSON.stringify(item)}: it has no key`)
    values.set(key, equals < 0 ? '' : item.slice(equals + 1))
  }
  return values
}
