import { describe, expect, test } from 'bun:test'
import { detectSyntax, parseCheckOptions } from './directives.ts'

describe('detectSyntax()', () => {
  test.each([
    ['# syntax = a/b:1 x y\nFROM a', 'a/b:1', 'a/b:1 x y', 1],
    ['\ufeff#!/bin/x\n# escape=`\n# syntax=a\n', 'a', 'a', 3],
    ['// syntax=a\n{}', 'a', 'a', 1],
    ['#!/bin/x\n{"syntax": "a b"}', 'a b', 'a b', 1],
  ])('%j', (text, frontend, commandLine, line) => {
    expect(detectSyntax(text)).toEqual({ frontend, commandLine, range: { start: line, end: line } })
  })
  test.each(['', 'FROM a\n# syntax=b', '# comment\n# syntax=b', '{"syntax": 1}', '{"syntax"', '[]', '# syntax='])(
    '%j asks for none',
    (text) => {
      expect(detectSyntax(text)).toBeUndefined()
      expect(detectSyntax(new TextEncoder().encode(text))).toBeUndefined()
    },
  )
})

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
