import { describe, expect, test } from 'bun:test'
import { parseCheckOptions, splitDirective } from './directives.ts'

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
    ['skip', 'failed to parse check options: invalid check option "skip"'],
    ['foo=1', 'failed to parse check options: invalid check option "foo"'],
    ['error=yes', 'failed to parse check options: failed to parse check option "error=yes"'],
  ])('refuses %j', (text, message) => {
    expect(() => parseCheckOptions(text)).toThrow(expect.objectContaining({ code: 'DOCKERFILE_INVALID', message }))
  })
})

describe('splitDirective()', () => {
  test.each([
    ['syntax=a b', 'syntax', 'a b'],
    ['Escape \t=\t `  ', 'escape', '`'],
    ['x1 = =y', 'x1', '=y'],
    // A vertical tab is no space for Go's expressions, and a value of spaces is one space.
    ['check=\va\v', 'check', '\va\v'],
    ['escape=  ', 'escape', ' '],
  ])('reads %j', (text, name, value) => {
    expect(splitDirective(text)).toEqual({ name, value })
  })
  test.each(['', 'syntax', 'syntax=', '=a', '1x=a', 'a b=c', 'syntax\v=a', ' syntax=a'])(
    'takes %j for none',
    (text) => {
      expect(splitDirective(text)).toBeUndefined()
    },
  )
})
