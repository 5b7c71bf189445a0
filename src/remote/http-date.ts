const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. */
const forms = [
  /^\w{3}, (?<day>\d{2}) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w{6,9}, (?<day>\d{2})-(?<month>\w{3})-(?<year>\d{2}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^\w{3} (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
]

/** Seconds since 1970 of an HTTP date in any of its three forms (RFC 9110 §5.6.7); undefined for anything else. */
export function parseHttpDate(text: string): number | undefined {
  for (const form of forms) {
    const { day = '', month = '', year = '', time = '' } = form.exec(text)?.groups ?? {}
    const index = months.indexOf(month)
    if (index < 0) continue
    const short = Number(year)
    // Two digits are those of a year from 1969 on, as Go reads them.
    const full = year.length === 4 ? short : short + (short >= 69 ? 1900 : 2000)
    const [hours = 0, minutes = 0, seconds = 0] = time.split(':').map(Number)
    const moment = Date.UTC(full, index, Number(day), hours, minutes, seconds)
    return Number.isFinite(moment) ? Math.floor(moment / 1000) : undefined
  }
  return undefined
}
