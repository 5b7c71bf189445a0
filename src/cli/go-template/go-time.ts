/** Times as docker's formats print them. All show local time and take milliseconds since 1970, unless they say otherwise. */

function pad(value: number, width = 2): string {
  return String(value).padStart(width, '0')
}

/** Date, time and offset of the local zone: `2026-01-02`, `15:04:05`, `+0100`. */
function localParts(milliseconds: number): { readonly date: string; readonly time: string; readonly offset: string } {
  const at = new Date(milliseconds)
  const minutes = -at.getTimezoneOffset()
  const size = Math.abs(minutes)
  return {
    date: `${pad(at.getFullYear(), 4)}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`,
    time: `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`,
    offset: `${minutes < 0 ? '-' : '+'}${pad(Math.trunc(size / 60))}${pad(size % 60)}`,
  }
}

/** Go's `time.String()` of whole seconds: `2026-01-02 15:04:05 +0000 UTC`. */
export function formatGoTime(milliseconds: number): string {
  const { date, time, offset } = localParts(milliseconds)
  return `${date} ${time} ${offset} ${zoneName(milliseconds)}`
}

/** RFC 3339 without a fraction: `2026-01-02T15:04:05Z`, `2026-01-02T16:04:05+01:00`. */
export function formatRfc3339(milliseconds: number): string {
  const { date, time, offset } = localParts(milliseconds)
  const zone = offset === '+0000' ? 'Z' : `${offset.slice(0, 3)}:${offset.slice(3)}`
  return `${date}T${time}${zone}`
}

/** RFC 3339 with nine decimals of `microseconds` since 1970: `2026-01-02T15:04:05.123456000Z`. */
export function formatEventTime(microseconds: number): string {
  const whole = Math.trunc(microseconds / 1_000_000)
  const fraction = String(microseconds - whole * 1_000_000).padStart(6, '0')
  return formatRfc3339(whole * 1000).replace(/^.{19}/, (time) => `${time}.${fraction}000`)
}

function zoneName(milliseconds: number): string {
  const parts = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(milliseconds)
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? 'UTC'
}
