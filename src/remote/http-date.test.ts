import { describe, expect, test } from 'bun:test'
import { parseHttpDate } from './http-date.ts'

describe('parseHttpDate()', () => {
  test.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', 784111777],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 784111777],
    ['Sun Nov  6 08:49:37 1994', 784111777],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['Sun, 06 Nov 1994 08:49:37 CET', undefined],
    ['Sun, 06 Foo 1994 08:49:37 GMT', undefined],
    ['1994-11-06T08:49:37Z', undefined],
    ['', undefined],
  ])('reads %j', (text, seconds) => {
    expect(parseHttpDate(text)).toBe(seconds)
  })
})
