import { CairnError } from '../errors/error.ts'
import { quoteGo } from './characters.ts'

const nanoseconds: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

const longest = 2n ** 63n

/**
 * A duration as Go's `time.ParseDuration` reads it (`1h30m`, `-1.5s`, `0`), in nanoseconds; beyond 104 days the
 * number is rounded to what a double can hold. Throws DOCKERFILE_INVALID in Go's words.
 */
export function parseNanoseconds(text: string): number {
  const quoted = quoteGo(text)
  const invalid = (): CairnError => new CairnError('DOCKERFILE_INVALID', `time: invalid duration ${quoted}`)
  const negative = text.startsWith('-')
  let rest = negative || text.startsWith('+') ? text.slice(1) : text
  if (rest === '0') return 0
  if (rest === '') throw invalid()
  let total = 0n
  while (rest !== '') {
    const number = /^(\d*)(?:\.(\d*))?/.exec(rest)
    const whole = number?.[1] ?? ''
    const fraction = number?.[2] ?? ''
    if (whole === '' && fraction === '') throw invalid()
    rest = rest.slice(number?.[0].length ?? 0)
    const unit = /^[^.\d]*/.exec(rest)?.[0] ?? ''
    if (unit === '') throw new CairnError('DOCKERFILE_INVALID', `time: missing unit in duration ${quoted}`)
    const scale = nanoseconds[unit]
    if (scale === undefined) {
      throw new CairnError('DOCKERFILE_INVALID', `time: unknown unit ${quoteGo(unit)} in duration ${quoted}`)
    }
    rest = rest.slice(unit.length)
    // Twenty digits are more than any valid duration has; digits beyond the nanosecond do not count.
    if (whole.replace(/^0+/, '').length > 20) throw invalid()
    const digits = fraction.slice(0, 18)
    total += BigInt(whole === '' ? 0 : whole) * scale
    total += (BigInt(digits === '' ? 0 : digits) * scale) / 10n ** BigInt(digits.length)
    if (total > longest || (!negative && total === longest)) throw invalid()
  }
  return Number(negative ? -total : total)
}

/** The same in milliseconds, with what is less as a fraction. */
export function parseMilliseconds(text: string): number {
  return parseNanoseconds(text) / 1e6
}
