/**
 * Sizes and times as docker prints and reads them (docker/go-units). Sizes printed are decimal (`1.84kB`), sizes read
 * by flags are binary (`64m` is 64 MiB), as docker's are.
 */
const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'] as const

/** `bytes` with up to `digits` significant digits and a decimal unit: `0B`, `1.84kB`, `120MB`. */
export function formatByteSize(bytes: number, digits = 4): string {
  return inUnits(bytes, 1000, decimalUnits, digits)
}

function inUnits(bytes: number, base: number, units: readonly string[], digits: number): string {
  let size = bytes
  let unit = 0
  while (size >= base && unit < units.length - 1) {
    size /= base
    unit++
  }
  return `${significant(size, digits)}${units[unit] ?? ''}`
}

/** C's `%.<digits>g` for the range a size is in. */
function significant(value: number, digits: number): string {
  const text = value.toPrecision(digits)
  if (text.includes('e')) {
    const [mantissa = '', exponent = ''] = text.split('e')
    const trimmed = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
    return `${trimmed}e${exponent.replace(/^([+-])(\d)$/, '$10$2')}`
  }
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

const sizeExponents: Readonly<Record<string, number>> = { '': 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 }

/**
 * A size such as `64m`, `1.5g`, `512` or `2GiB` in bytes; each letter is a power of 1024. Throws an Error with
 * docker's text (`invalid size: 'x'`, `invalid suffix: 'x'`), for the flag reader to wrap.
 */
export function parseByteSize(text: string): number {
  return parseSize(text, 1024)
}

/** As {@link parseByteSize} where each letter is a power of 1000; docker reads some sizes so. */
export function parseDecimalSize(text: string): number {
  return parseSize(text, 1000)
}

function parseSize(text: string, base: number): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+) ?(\D*)$/.exec(text)
  if (match === null) throw new Error(`invalid size: '${text}'`)
  const suffix = (match[2] ?? '').toLowerCase()
  if (!/^(?:b|[kmgtp](?:i?b)?)?$/.test(suffix)) throw new Error(`invalid suffix: '${suffix}'`)
  const exponent = sizeExponents[suffix.charAt(0)] ?? 0
  const bytes = Math.trunc(Number(match[1]) * base ** exponent)
  if (!Number.isSafeInteger(bytes)) throw new Error(`invalid size: '${text}'`)
  return bytes
}

/** A span of `milliseconds` in words, as docker's CREATED and STATUS columns say it: `About a minute`, `3 weeks`. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.trunc(milliseconds / 1000)
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < 60) return `${seconds} seconds`
  const minutes = Math.trunc(seconds / 60)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.trunc(seconds / 3600 + 0.5)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`
  return `${Math.trunc(seconds / 3600 / 24 / 365)} years`
}

/** How long before `now` the moment `then` was: `2 hours ago`. Both in milliseconds since 1970. */
export function formatAge(then: number, now: number): string {
  return `${humanDuration(now - then)} ago`
}

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `bytes` with up to four significant digits and a binary unit, as go-units has it: `352KiB`, `23.54GiB`. */
export function formatBinarySize(bytes: number): string {
  return inUnits(bytes, 1024, binaryUnits, 4)
}
