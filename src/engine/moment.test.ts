import { describe, expect, test } from 'bun:test'
import { nanosecondsOf, parseMoment } from './moment.ts'

describe('nanosecondsOf()', () => {
  test('keeps all nine digits of a fraction', () => {
    expect(nanosecondsOf('1970-01-01T00:00:01.000000001Z')).toBe(1_000_000_001n)
    expect(nanosecondsOf('2026-11-21T10:06:13.472009428Z')).toBe(1_795_255_573_472_009_428n)
    expect(nanosecondsOf('1970-01-01T01:00:00+01:00')).toBe(0n)
    expect(nanosecondsOf('1969-12-31T23:59:59.5Z')).toBe(-500_000_000n)
  })

  test('gives undefined where there is no time', () => {
    expect(nanosecondsOf(undefined)).toBeUndefined()
    expect(nanosecondsOf('')).toBeUndefined()
    expect(nanosecondsOf('yesterday')).toBeUndefined()
  })
})

describe('parseMoment()', () => {
  const now = Date.parse('2026-02-01T00:00:00Z')

  test('reads what docker reads', () => {
    const at = (text: string): string => new Date(Number(parseMoment(text, now) / 1_000_000n)).toISOString()
    expect(at('24h')).toBe('2026-01-31T00:00:00.000Z')
    expect(at('1h30m')).toBe('2026-01-31T22:30:00.000Z')
    expect(at('2026-01-02T15:04:05Z')).toBe('2026-01-02T15:04:05.000Z')
    expect(at('2026-01-02T15:04:05.25+02:00')).toBe('2026-01-02T13:04:05.250Z')
    expect(at('2026-01-02T15:04Z')).toBe('2026-01-02T15:04:00.000Z')
    expect(at('2026-01-02Z')).toBe('2026-01-02T00:00:00.000Z')
    expect(at('0')).toBe('1970-01-01T00:00:00.000Z')
    expect(at('0s')).toBe('2026-02-01T00:00:00.000Z')
    expect(at('1136073845')).toBe('2006-01-01T00:04:05.000Z')
    expect(parseMoment('1136073845.000000001', now)).toBe(1_136_073_845_000_000_001n)
  })

  test('takes a time without a zone as local', () => {
    const local = new Date(2026, 0, 2, 15, 4).getTime()
    expect(parseMoment('2026-01-02T15:04', now)).toBe(BigInt(local) * 1_000_000n)
  })

  test('refuses everything else', () => {
    for (const text of ['', 'xx', '-1', '2026-13-01', '5 days', '2026-01-02 15:04'])
      expect(() => parseMoment(text, now)).toThrow('failed to parse value as time or duration')
  })
})
