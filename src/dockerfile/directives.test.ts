import { describe, expect, test } from 'bun:test'
import { parseCheckOptions } from './directives.ts'

describe('parseCheckOptions()', () => {
  test('reads lists, all, and error, with spaces around separators', () => {
    expect(parseCheckOptions('skip=A, B ; error = True;experimental=all trailing text')).toEqual({
      skip: ['A', 'B'],
      skipAll: false,
      experimental: [],
      experimentalAll: true,
      error: true,
    })
    expect(parseCheckOptions('')).toMatchObject({ skip: [], error: false })
  })
  test.each([
    ['skip', 'invalid check option "skip"'],
    ['foo=1', 'invalid check option "foo"'],
    ['error=yes', 'failed to parse check option "error=yes"'],
  ])('refuses %j', (text, message) => {
    expect(() => parseCheckOptions(text)).toThrow(expect.objectContaining({ code: 'DOCKERFILE_INVALID', message }))
  })
})
