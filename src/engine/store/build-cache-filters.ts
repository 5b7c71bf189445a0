import { parseNanoseconds } from '../../dockerfile/duration.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'
import type { BuildCacheRecord } from './build-cache-records.ts'
import type { Filters } from '../filters.ts'
import { isBeforeAll, Moment } from '../moment.ts'

/** Whether a record suits all filters. */
type Test = (record: BuildCacheRecord) => boolean

const texts: Readonly<Record<string, (record: BuildCacheRecord) => readonly string[]>> = {
  id: ({ id }) => [id],
  type: ({ type }) => [type],
  description: ({ description }) => [description],
  parent: ({ parents }) => parents,
  parents: ({ parents }) => parents,
}

const facts: Readonly<Record<string, Test>> = {
  inuse: ({ isInUse }) => isInUse,
  mutable: ({ isMutable }) => isMutable,
  immutable: ({ isMutable }) => !isMutable,
  shared: ({ isShared }) => isShared,
  private: ({ isShared }) => !isShared,
}

/**
 * Reads the filters of `builder du` and `builder prune` as buildx has them: `until` and `unused-for` (not used for a
 * duration, or since a moment), `id`, `type`, `description`, `parents`, `inuse`, `mutable`, `immutable`, `shared` and
 * `private`; with `!` behind the name for the contrary and `~` for a regular expression. Several of one name are
 * alternatives. Throws USAGE (status 1).
 *
 * @param now - milliseconds since 1970
 */
export function buildCacheFilter(filters: Filters, now: number): Test {
  const tests = [...filters].map(([name, values]) => testOf(name, values, now))
  return (record) => tests.every((test) => test(record))
}

function testOf(name: string, values: readonly string[], now: number): Test {
  const [, field = '', operator = ''] = /^(.*?)([!~]?)$/.exec(name) ?? []
  if (field === 'until' || field === 'unused-for') return ageTest(field, values, now)
  const read = Object.hasOwn(texts, field) ? texts[field] : undefined
  if (read !== undefined) {
    const matches = values.map((value) =>
      operator === '~' ? expression(field, value) : (text: string) => text === value,
    )
    const some: Test = (record) => matches.some((match) => read(record).some(match))
    return operator === '!' ? (record) => !some(record) : some
  }
  const fact = Object.hasOwn(facts, field) ? facts[field] : undefined
  if (fact === undefined || operator === '~')
    throw usageError(`invalid filter '${name}'`, {
      hint: `Filters here are until, unused-for, ${[...Object.keys(texts), ...Object.keys(facts)].join(', ')}.`,
    })
  const wanted = new Set(values.map((value) => (value === 'false' || value === '0') !== (operator !== '!')))
  return (record) => wanted.has(fact(record))
}

function ageTest(name: string, values: readonly string[], now: number): Test {
  const limits = values.map((text) => {
    try {
      return Moment.parse(text, now)
    } catch (error) {
      if (!isCairnError(error)) throw error
      throw new CairnError('USAGE', `"${name}" filter expects a duration (e.g., '24h'): ${durationError(text)}`, {
        exitCode: 1,
        hint: error.hint,
      })
    }
  })
  return ({ usedAt }) => isBeforeAll(usedAt, limits)
}

function durationError(text: string): string {
  try {
    parseNanoseconds(text)
  } catch (error) {
    if (isCairnError(error)) return error.message
    throw error
  }
  return `time: invalid duration ${JSON.stringify(text)}`
}

function expression(field: string, pattern: string): (text: string) => boolean {
  try {
    const compiled = new RegExp(pattern)
    return (text) => compiled.test(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw usageError(`invalid filter '${field}~=${pattern}': ${reason}`, { cause })
  }
}
