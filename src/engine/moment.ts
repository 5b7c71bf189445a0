import { parseDuration } from '../dockerfile/duration.ts'
import { isCairnError, usageError } from '../errors/error.ts'
import type { Filters } from './filters.ts'

const perMillisecond = 1_000_000n
const perSecond = 1_000_000_000n

/**
 * A time by RFC 3339 in nanoseconds since 1970. Undefined for undefined and for text that is no such time, which sorts
 * and filters as Go's zero time does.
 */
export function nanosecondsOf(time: string | undefined): bigint | undefined {
  if (time === undefined) return undefined
  const match = /^(.{19})(?:\.(\d+))?(.*)$/.exec(time)
  const whole = Date.parse(`${match?.[1] ?? ''}${match?.[3] ?? ''}`)
  if (!Number.isFinite(whole)) return undefined
  const fraction = (match?.[2] ?? '').slice(0, 9).padEnd(9, '0')
  return BigInt(whole) * perMillisecond + BigInt(fraction)
}

/**
 * What the filters `until` and `since` of docker take, in nanoseconds since 1970: seconds since 1970 with or without a
 * fraction, a date or time (`2026-01-02`, `2026-01-02T15:04`, with a zone or in the local one), or a Go duration
 * (`24h`, but `0` is 1970) before `now`, in milliseconds since 1970. Throws USAGE (status 1).
 */
export function parseMoment(text: string, now: number): bigint {
  return durationBefore(text, now) ?? dateOf(text) ?? unixTime(text) ?? fail(text)
}

/**
 * The filter `until`: true for a time, in milliseconds since 1970, that is before each of its moments. `now` as
 * {@link parseMoment} has it. Throws USAGE (status 1).
 */
export function untilFilter(filters: Filters, now: number): (milliseconds: number) => boolean {
  const limits = (filters.get('until') ?? []).map((text) => parseMoment(text, now))
  return (milliseconds) => limits.every((limit) => BigInt(milliseconds) * perMillisecond < limit)
}

function durationBefore(text: string, now: number): bigint | undefined {
  if (text === '0') return undefined
  try {
    return BigInt(now) * perMillisecond - BigInt(parseDuration(text))
  } catch (error) {
    if (isCairnError(error)) return undefined
    throw error
  }
}

function dateOf(text: string): bigint | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2}(?:\.\d{1,9})?))?)?)?(Z|[+-]\d{2}:\d{2})?$/.exec(
    text,
  )
  if (match === null) return undefined
  const [, date = '', hours = '00', minutes = '00', seconds = '00', zone = ''] = match
  return nanosecondsOf(`${date}T${hours}:${minutes}:${seconds.includes('.') ? seconds : `${seconds}.0`}${zone}`)
}

function unixTime(text: string): bigint | undefined {
  const match = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text)
  if (match === null) return undefined
  const [, seconds = '', fraction = ''] = match
  return BigInt(seconds) * perSecond + BigInt(fraction.padEnd(9, '0'))
}

function fail(text: string): never {
  throw usageError(`failed to parse value as time or duration: ${JSON.stringify(text)}`, {
    hint: 'Write it as a duration (24h), a date (2026-01-02), a time (2026-01-02T15:04:05Z) or seconds since 1970.',
  })
}
