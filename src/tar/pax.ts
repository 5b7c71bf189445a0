import { decodePath } from '../linux/path-bytes.ts'

/** Records of one pax extended header in order; a later record of a key replaces an earlier one. Values are bytes. */
export interface PaxRecords {
  readonly values: ReadonlyMap<string, Uint8Array>
  /** GNU.sparse.offset and GNU.sparse.numbytes (format 0.0) repeat their keys: all of them, alternating. */
  readonly sparsePairs: readonly number[]
}

const space = 0x20
const equals = 0x3d
const newline = 0x0a

/**
 * Parses `length key=value\n` records (POSIX.1-2017 pax, "pax Extended Header"). Gives a message instead when they are
 * malformed. The values are copies.
 */
export function parsePaxRecords(bytes: Uint8Array): PaxRecords | string {
  const values = new Map<string, Uint8Array>()
  const sparsePairs: number[] = []
  let offset = 0
  while (offset < bytes.length) {
    const gap = bytes.indexOf(space, offset)
    const length = gap < 0 ? undefined : decimal(bytes.subarray(offset, gap))
    if (length === undefined) return 'pax record without a length'
    const end = offset + length
    const split = bytes.indexOf(equals, gap)
    if (end > bytes.length || end <= gap + 1 || bytes[end - 1] !== newline) return 'pax record of the wrong length'
    if (split < 0 || split >= end) return 'pax record without "="'
    const key = decodePath(bytes.subarray(gap + 1, split))
    if (key === '') return 'pax record without a key'
    const value = bytes.slice(split + 1, end - 1)
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const number = decimal(value)
      const isExpected = (key === 'GNU.sparse.offset') === (sparsePairs.length % 2 === 0)
      if (number === undefined || !isExpected) return `pax record ${key} is out of place`
      sparsePairs.push(number)
    } else {
      values.set(key, value)
    }
    offset = end
  }
  return { values, sparsePairs }
}

/** Digits as a safe integer, else undefined. */
export function decimal(bytes: Uint8Array): number | undefined {
  if (bytes.length === 0 || bytes.length > 16) return undefined
  let value = 0
  for (const byte of bytes) {
    const digit = byte - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return Number.isSafeInteger(value) ? value : undefined
}

/** `-?digits[.digits]` as whole seconds rounded down and nanoseconds (further digits are cut off), else undefined. */
export function parsePaxTime(bytes: Uint8Array): readonly [seconds: number, nanoseconds: number] | undefined {
  const match = /^(-?)(\d{1,16})(?:\.(\d*))?$/.exec(decodePath(bytes))
  if (match === null) return undefined
  const whole = Number(match[2])
  const fraction = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (!Number.isSafeInteger(whole)) return undefined
  if (match[1] === '') return [whole, fraction]
  return fraction === 0 ? [-whole + 0, 0] : [-whole - 1, 1_000_000_000 - fraction]
}

/** The inverse of {@link parsePaxTime} in its shortest form, as Go's archive/tar writes it. */
export function formatPaxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds)
  const isNegative = seconds < 0
  const whole = isNegative ? -(seconds + 1) : seconds
  const fraction = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds
  return `${isNegative ? '-' : ''}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
}

const encoder = new TextEncoder()

/** One record; its length counts its own digits. */
export function formatPaxRecord(key: Uint8Array, value: Uint8Array): Uint8Array<ArrayBuffer> {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (rest + String(length).length > length) length++
  const record = new Uint8Array(length)
  const { written } = encoder.encodeInto(`${length} `, record)
  record.set(key, written)
  record[written + key.length] = equals
  record.set(value, written + key.length + 1)
  record[length - 1] = newline
  return record
}
