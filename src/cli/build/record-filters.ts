import { parseMilliseconds } from '../../dockerfile/duration.ts'
import { Moment } from '../../engine/moment.ts'
import { isCairnError, usageError } from '../../errors/error.ts'
import type { StoredRecord } from '../../records/build-records.ts'
import type { RecordStatus } from '../../records/record.ts'

const statuses: readonly RecordStatus[] = ['running', 'completed', 'error', 'canceled', 'interrupted']

type Operator = '=' | '!=' | '<' | '<=' | '>' | '>='
type Suits = (record: StoredRecord) => boolean

/**
 * What `--filter` of `builds ls` means, as buildx has it: `status=error`, `name=app` and `ref=ab` (a part of the text),
 * with `!=` for the others; `startedAt`, `completedAt` and `duration` with `<`, `<=`, `>` or `>=`, times as RFC 3339 or as a
 * duration before `now` (milliseconds since 1970). Of several with `=` for one name any will do. Throws USAGE (status 1).
 */
export function recordFilter(texts: readonly string[], now: number): Suits {
  const wanted = new Map<string, Suits[]>()
  const others: Suits[] = []
  for (const text of texts) {
    const { name, operator, value } = parseFilter(text)
    const suits = filterOf(text, name, operator, value, now)
    if (operator === '=') wanted.set(name, [...(wanted.get(name) ?? []), suits])
    else others.push(suits)
  }
  const anyOf = [...wanted.values()]
  return (record) =>
    others.every((suits) => suits(record)) && anyOf.every((list) => list.some((suits) => suits(record)))
}

function parseFilter(text: string): { readonly name: string; readonly operator: Operator; readonly value: string } {
  const match = /^(\w+)(!=|<=|>=|=|<|>)(.*)$/s.exec(text)
  if (match === null) throw usageError(`invalid filter ${JSON.stringify(text)}`, { hint: 'Write it as status=error.' })
  const [, name = '', operator = '', value = ''] = match
  return { name, operator: operator as Operator, value }
}

function filterOf(text: string, name: string, operator: Operator, value: string, now: number): Suits {
  const isEquality = operator === '=' || operator === '!='
  switch (name) {
    case 'status':
    case 'name':
    case 'ref': {
      if (!isEquality) throw usageError(`invalid separator for ${JSON.stringify(text)}, expected = or !=`)
      if (name === 'status' && !(statuses as readonly string[]).includes(value))
        throw usageError(`invalid filter ${JSON.stringify(text)}`, {
          hint: `A status is one of ${statuses.join(', ')}.`,
        })
      const field = name === 'ref' ? 'id' : name
      if (operator === '!=') return (record) => record[field] !== value
      return name === 'status' ? (record) => record.status === value : (record) => record[field].includes(value)
    }
    case 'startedAt':
    case 'completedAt':
    case 'duration': {
      if (isEquality) throw usageError(`invalid separator for ${JSON.stringify(text)}, expected <=, <, >= or >`)
      const limit = name === 'duration' ? durationOf(value) : momentOf(value, now)
      return (record) => compare(valueOf(record, name), operator, limit)
    }
    default:
      throw usageError(`unsupported filter ${JSON.stringify(text)}`, {
        hint: 'Filters here are status, name, ref, startedAt, completedAt and duration.',
      })
  }
}

/** In milliseconds; undefined for an end that is not known. */
function valueOf({ createdAt, end }: StoredRecord, name: 'startedAt' | 'completedAt' | 'duration'): number | undefined {
  if (name === 'startedAt') return createdAt
  return name === 'completedAt' || end === undefined ? end?.completedAt : end.completedAt - createdAt
}

function compare(value: number | undefined, operator: Operator, limit: number): boolean {
  if (value === undefined) return false
  if (operator === '<') return value < limit
  if (operator === '<=') return value <= limit
  return operator === '>' ? value > limit : value >= limit
}

function momentOf(text: string, now: number): number {
  const duration = tryDuration(text)
  if (duration !== undefined) return now - duration
  const time = Moment.ofText(/^\d{4}-\d{2}-\d{2}T/.test(text) ? text : undefined)
  if (time === undefined)
    throw usageError(`invalid time ${text}`, {
      hint: 'Write it as 24h, the time before now, or as 2026-01-02T15:04:05Z.',
    })
  return time.milliseconds
}

function durationOf(text: string): number {
  const duration = tryDuration(text)
  if (duration === undefined) throw usageError(`invalid duration ${text}`, { hint: 'Write it as 90s or 1h30m.' })
  return duration
}

function tryDuration(text: string): number | undefined {
  try {
    return parseMilliseconds(text)
  } catch (error) {
    if (isCairnError(error)) return undefined
    throw error
  }
}
