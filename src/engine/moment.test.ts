import { describe, expect, test } from 'bun:test'
import { Moment, untilFilter } from './moment.ts'

describe('Moment.ofText()', () => {
  test('keeps all nine digits of a fraction', () => {
    expect(Moment.ofText('1970-01-01T00:00:01.000000001Z')?.inSeconds).toBe('1.000000001')
    expect(Moment.ofText('2026-11-21T10:06:13.472009428Z')?.inSeconds).toBe('1795255573.472009428')
    expect(Moment.ofText('1970-01-01T01:00:00+01:00')?.inSeconds).toBe('0.000000000')
    expect(Moment.ofText('1969-12-31T23:59:59.5Z')?.milliseconds).toBe(-500)
  })

  test('gives undefined where there is no time', () => {
    expect(Moment.ofText(undefined)).toBeUndefined()
    expect(Moment.ofText('')).toBeUndefined()
    expect(Moment.ofText('yesterday')).toBeUndefined()
  })
})

describe('Moment.parse()', () => {
  const now = Date.parse('2026-02-01T00:00:00Z')

  test('reads what docker reads', () => {
    const at = (text: string): string => new Date(Moment.parse(text, now).milliseconds).toISOString()
    expect(at('24h')).toBe('2026-01-31T00:00:00.000Z')
    expect(at('1h30m')).toBe('2026-01-31T22:30:00.000Z')
    expect(at('2026-01-02T15:04:05Z')).toBe('2026-01-02T15:04:05.000Z')
    expect(at('2026-01-02T15:04:05.25+02:00')).toBe('2026-01-02T13:04:05.250Z')
    expect(at('2026-01-02T15:04Z')).toBe('2026-01-02T15:04:00.000Z')
    expect(at('2026-01-02Z')).toBe('2026-01-02T00:00:00.000Z')
    expect(at('0')).toBe('1970-01-01T00:00:00.000Z')
    expect(at('0s')).toBe('2026-02-01T00:00:00.000Z')
    expect(at('1136073845')).toBe('2006-01-01T00:04:05.000Z')
    expect(Moment.parse('1136073845.000000001', now).inSeconds).toBe('1136073845.000000001')
  })

  test('takes a time without a zone as local', () => {
    const local = new Date(2026, 0, 2, 15, 4).getTime()
    expect(Moment.parse('2026-01-02T15:04', now).milliseconds).toBe(local)
  })

  test('refuses everything else', () => {
    for (const text of ['', 'xx', '-1', '2026-13-01', '5 days', '2026-01-02 15:04'])
      expect(() => Moment.parse(text, now)).toThrow('failed to parse value as time or duration')
  })
})

describe('a Moment', () => {
  test('compares times that were given in different units', () => {
    const [rough, fine, text] = [
      Moment.ofMilliseconds(1_000),
      Moment.ofMicroseconds(1_000_001),
      Moment.ofText('1970-01-01T00:00:01.000001001Z'),
    ]
    expect([rough.isBefore(fine), fine.isBefore(rough), rough.isAfter(fine), fine.isAfter(rough)]).toEqual([
      true,
      false,
      false,
      true,
    ])
    expect(text?.isAfter(fine)).toBe(true)
    expect([rough.isBefore(Moment.ofMicroseconds(1e6)), rough.isAfter(Moment.ofMicroseconds(1e6))]).toEqual([
      false,
      false,
    ])
  })

  test('is what untilFilter() takes milliseconds for', () => {
    const isOld = untilFilter(new Map([['until', ['10s', '1136073845']]]), 1_136_073_850_000)
    expect([1_136_073_839_999, 1_136_073_840_000].map(isOld)).toEqual([true, false])
  })
})
