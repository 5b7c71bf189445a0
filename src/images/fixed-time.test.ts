import { describe, expect, test } from 'bun:test'
import { shownTime } from './fixed-time.ts'

const here = Date.UTC(2026, 0, 2)

describe('shownTime()', () => {
  test.each([
    ['1980-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z'],
    ['1970-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '2026-01-02T00:00:00.000Z'],
    ['1980-01-01T01:00:00+01:00', '2026-01-02T00:00:00.000Z'],
    ['1980-01-01T00:00:01Z', '1980-01-01T00:00:01Z'],
    ['2024-05-06T07:08:09.1234Z', '2024-05-06T07:08:09.1234Z'],
    ['no time', 'no time'],
  ])('of %p is %p', (created, shown) => {
    expect(shownTime(created, here)).toBe(shown)
  })

  test('is nothing where the image says nothing', () => {
    expect(shownTime(undefined, here)).toBeUndefined()
  })
})
