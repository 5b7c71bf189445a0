import { describe, expect, test } from 'bun:test'
import { formatAge, formatByteSize, humanDuration, parseByteSize } from './units.ts'

describe('formatByteSize()', () => {
  test.each([
    [0, '0B'],
    [1, '1B'],
    [999, '999B'],
    [1000, '1kB'],
    [1840, '1.84kB'],
    [2063342, '2.063MB'],
    [120_000_000, '120MB'],
    [999_990, '1000kB'],
    [1_500_000_000, '1.5GB'],
    [3.42e12, '3.42TB'],
  ])('shows %p as %p', (bytes, text) => {
    expect(formatByteSize(bytes)).toBe(text)
  })

  test('shows three digits when asked, as image lists do', () => {
    expect(formatByteSize(2063342, 3)).toBe('2.06MB')
    expect(formatByteSize(117_252_342, 3)).toBe('117MB')
  })
})

describe('parseByteSize()', () => {
  test.each([
    ['512', 512],
    ['64m', 64 * 1024 ** 2],
    ['1g', 1024 ** 3],
    ['1.5k', 1536],
    ['2GiB', 2 * 1024 ** 3],
    ['3 MB', 3 * 1024 ** 2],
    ['7b', 7],
    ['.5K', 512],
  ])('reads %p as %p bytes', (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes)
  })

  test.each(['', 'x', '-1', '1.2.3', '1e3', '9999999p', '5mx', 'NaN', '1 2'])('refuses %p', (text) => {
    expect(() => parseByteSize(text)).toThrow(/^invalid (size|suffix): '/)
  })
})

describe('humanDuration()', () => {
  const second = 1000
  const hour = 3600 * second
  const day = 24 * hour
  test.each([
    [450, 'Less than a second'],
    [second, '1 second'],
    [45 * second, '45 seconds'],
    [60 * second, 'About a minute'],
    [119 * second, 'About a minute'],
    [3 * 60 * second, '3 minutes'],
    [60 * 60 * second, 'About an hour'],
    [80 * 60 * second, 'About an hour'],
    [2 * hour, '2 hours'],
    [47 * hour, '47 hours'],
    [2 * day, '2 days'],
    [13 * day, '13 days'],
    [3 * 7 * day, '3 weeks'],
    [59 * day, '8 weeks'],
    [60 * day, '2 months'],
    [23 * 30 * day, '23 months'],
    [730 * day, '2 years'],
  ])('says %p milliseconds as %p', (milliseconds, text) => {
    expect(humanDuration(milliseconds)).toBe(text)
  })

  test('is followed by "ago" in formatAge()', () => {
    expect(formatAge(0, 2 * hour)).toBe('2 hours ago')
  })
})
