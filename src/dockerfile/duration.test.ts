import { describe, expect, test } from 'bun:test'
import { parseNanoseconds } from './duration.ts'

describe('parseNanoseconds()', () => {
  test.each([
    ['0', 0],
    ['+0', 0],
    ['5s', 5e9],
    ['1h30m', 5400e9],
    ['-1.5s', -1.5e9],
    ['.5ms', 5e5],
    ['1.s', 1e9],
    ['1us2µs3μs', 6e3],
    ['0.0000000001s', 0],
    ['2540400h10m10s', 9145440610e9],
  ])('%s is %d ns', (text, nanoseconds) => {
    expect(parseNanoseconds(text)).toBe(nanoseconds)
  })
  test.each([
    ['', 'time: invalid duration ""'],
    ['-', 'time: invalid duration "-"'],
    ['.s', 'time: invalid duration ".s"'],
    ['5', 'time: missing unit in duration "5"'],
    ['5x', 'time: unknown unit "x" in duration "5x"'],
    ['5s5', 'time: missing unit in duration "5s5"'],
    ['9999999999h', 'time: invalid duration "9999999999h"'],
    [`${'9'.repeat(100_000)}s`, 'time: invalid duration'],
  ])('%s is refused', (text, message) => {
    expect(() => parseNanoseconds(text)).toThrow(message)
  })
})
