import { parseNanoseconds } from '../dockerfile/duration.ts'
import { isCairnError, usageError } from '../errors/error.ts'
import type { Filters } from './filters.ts'

const perMicrosecond = 1000n
const perMillisecond = 1_000_000n
const perSecond = 1_000_000_000n

/**
 * A point in time, to the nanosecond. Records have milliseconds since 1970, events microseconds, images RFC 3339, filters
 * what docker takes: they are compared only as moments.
 */
export class Moment {
  /** Since 1970. */
  readonly #nanoseconds: bigint

  private constructor(nanoseconds: bigint) {
    this.#nanoseconds = nanoseconds
  }

  /** Whole milliseconds since 1970, as of `Date.now()`. */
  static ofMilliseconds(milliseconds: number): Moment {
    return new Moment(BigInt(milliseconds) * perMillisecond)
  }

  /** Whole microseconds since 1970, as of events. */
  static ofMicroseconds(microseconds: number): Moment {
    return new Moment(BigInt(microseconds) * perMicrosecond)
  }

  /** A time by RFC 3339. Undefined for undefined and for text that is no such time. */
  static ofText(time: string | undefined): Moment | undefined {
    if (time === undefined) return undefined
    const match = /^(.{19})(?:\.(\d+))?(.*)$/.exec(time)
    const whole = Date.parse(`${match?.[1] ?? ''}${match?.[3] ?? ''}`)
    if (!Number.isFinite(whole)) return undefined
    const fraction = (match?.[2] ?? '').slice(0, 9).padEnd(9, '0')
    return new Moment(BigInt(whole) * perMillisecond + BigInt(fraction))
  }

  /**
   * What the filters `until` and `since` of docker take: seconds since 1970 with or without a fraction, a date or time
   * (`2026-01-02`, `2026-01-02T15:04`, with a zone or in the local one), or a Go duration (`24h`, but `0` is 1970) before
   * `now`, in milliseconds since 1970. Throws USAGE (status 1).
   */
  static parse(text: string, now: number): Moment {
    const nanoseconds = durationBefore(text, now) ?? unixTime(text)
    return nanoseconds === undefined ? (dateOf(text) ?? fail(text)) : new Moment(nanoseconds)
  }

  isBefore(other: Moment): boolean {
    return this.#nanoseconds < other.#nanoseconds
  }

  isAfter(other: Moment): boolean {
    return this.#nanoseconds > other.#nanoseconds
  }

  /** Since 1970, with what is less as a fraction. */
  get milliseconds(): number {
    return Number(this.#nanoseconds / perMillisecond) + Number(this.#nanoseconds % perMillisecond) / 1e6
  }

  /** As docker shows it: seconds since 1970 with nine decimals. */
  get inSeconds(): string {
    const digits = String(this.#nanoseconds).padStart(10, '0')
    return `${digits.slice(0, -9)}.${digits.slice(-9)}`
  }
}

/**
 * The filter `until`: true for a time, in milliseconds since 1970, that is before each of its moments. `now` as
 * {@link Moment.parse} has it. Throws USAGE (status 1).
 */
export function untilFilter(filters: Filters, now: number): (milliseconds: number) => boolean {
  const limits = (filters.get('until') ?? []).map((text) => Moment.parse(text, now))
  return (milliseconds) => isBeforeAll(milliseconds, limits)
}

/** Whether a time, in milliseconds since 1970, is before each of `limits`. */
export function isBeforeAll(milliseconds: number, limits: readonly Moment[]): boolean {
  return limits.every((limit) => Moment.ofMilliseconds(milliseconds).isBefore(limit))
}

function durationBefore(text: string, now: number): bigint | undefined {
  if (text === '0') return undefined
  try {
    return BigInt(now) * perMillisecond - BigInt(parseNanoseconds(text))
  } catch (error) {
    if (isCairnError(error)) return undefined
    throw error
  }
}

function dateOf(text: string): Moment | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2}(?:\.\d{1,9})?))?)?)?(Z|[+-]\d{2}:\d{2})?$/.exec(
    text,
  )
  if (match === null) return undefined
  const [, date = '', hours = '00', minutes = '00', seconds = '00', zone = ''] = match
  return Moment.ofText(`${date}T${hours}:${minutes}:${seconds.includes('.') ? seconds : `${seconds}.0`}${zone}`)
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
