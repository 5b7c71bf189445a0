import { usageError } from '../errors/error.ts'

/** Conditions as docker's `--filter` and API give them: the values of each name. */
export type Filters = ReadonlyMap<string, readonly string[]>

/** Throws USAGE (status 1) for a filter that is none of `accepted`. */
export function checkFilters(filters: Filters, accepted: readonly string[]): void {
  for (const name of filters.keys())
    if (!accepted.includes(name))
      throw usageError(name === '' ? 'invalid filter' : `invalid filter '${name}'`, {
        hint: `Filters here are ${accepted.join(', ')}.`,
      })
}

const truths: ReadonlySet<string> = new Set(['1', 'true'])
const falsehoods: ReadonlySet<string> = new Set(['0', 'false'])

/** The filter `name` as true or false, undefined where it is not given. Throws USAGE (status 1) for anything else. */
export function booleanFilter(filters: Filters, name: string): boolean | undefined {
  const values = filters.get(name) ?? []
  if (values.length === 0) return undefined
  if (values.every((value) => truths.has(value))) return true
  if (values.every((value) => falsehoods.has(value))) return false
  throw usageError(`invalid filter '${name}=[${values.toSorted().join(' ')}]'`, {
    hint: `Write it as ${name}=true or ${name}=false.`,
  })
}

/** True when `labels` has every label of the filter `label` (`key` or `key=value`) and none of `label!`. */
export function suitsLabels(filters: Filters, labels: Readonly<Record<string, string>>): boolean {
  const wanted = filters.get('label') ?? []
  const unwanted = filters.get('label!') ?? []
  return wanted.every((label) => hasLabel(labels, label)) && !unwanted.some((label) => hasLabel(labels, label))
}

function hasLabel(labels: Readonly<Record<string, string>>, label: string): boolean {
  const equals = label.indexOf('=')
  const key = equals < 0 ? label : label.slice(0, equals)
  if (!Object.hasOwn(labels, key)) return false
  return equals < 0 || labels[key] === label.slice(equals + 1)
}
