import { quoteGo } from '../../dockerfile/characters.ts'
import type { Healthcheck } from '../../oci/config.ts'

/** Go's `%v` of a list of strings: `[a b]`. */
export function goList(items: readonly string[]): string {
  return `[${items.join(' ')}]`
}

/** Go's `%q` of a list of strings: `["a" "b"]`. */
export function goStringList(items: readonly string[]): string {
  return `[${items.map(quoteGo).join(' ')}]`
}

/** Go's time.Duration.String of nanoseconds: `1m30s`, `500ms`. */
function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 1e3) return `${nanoseconds}ns`
  if (nanoseconds < 1e6) return `${trim(nanoseconds / 1e3)}µs`
  if (nanoseconds < 1e9) return `${trim(nanoseconds / 1e6)}ms`
  const totalSeconds = Math.floor(nanoseconds / 1e9)
  const hours = Math.floor(totalSeconds / 3600)
  const minutes = Math.floor((totalSeconds % 3600) / 60)
  const seconds = trim((totalSeconds % 60) + (nanoseconds % 1e9) / 1e9)
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}

function trim(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, '')
}

/** Go's `%q` of a pointer to a HealthcheckConfig, as BuildKit writes it in history: its retries become a rune. */
export function formatHealthcheck(check: Healthcheck): string {
  const { Test: test = [], Interval, Timeout, StartPeriod, StartInterval, Retries = 0 } = check
  const times = [Interval, Timeout, StartPeriod, StartInterval].map((time = 0) => quoteGo(goDuration(time)))
  return `&{${[goStringList(test), ...times, goQuoteRune(Retries)].join(' ')}}`
}

/** Go's strconv.QuoteRune of a number, which may be no character at all. */
function goQuoteRune(code: number): string {
  if (code === 0x27) return "'\\''"
  const isCharacter = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
  const quoted = quoteGo(isCharacter ? String.fromCodePoint(code) : '\ufffd').slice(1, -1)
  return `'${quoted === '\\"' ? '"' : quoted}'`
}
