import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cleanPath, hasWildcard, matchPath } from './path-match.ts'

const { filepath_match_via_Matches: rows } = JSON.parse(
  readFileSync(join(import.meta.dir, '../../test/fixtures/dockerfile/patternmatcher-cases.json'), 'utf8'),
) as {
  readonly filepath_match_via_Matches: readonly {
    readonly pattern: string
    readonly path: string
    readonly match: boolean
    readonly error: boolean
  }[]
}

describe('matchPath()', () => {
  test.each(rows.map((row) => [row.pattern, row.path, row] as const))('%s on %s', (pattern, path, row) => {
    if (row.error) expect(() => matchPath(pattern, path)).toThrow(expect.objectContaining({ code: 'WORD_INVALID' }))
    // The table is of a matcher that also looks at parents; filepath.Match does not.
    else expect(matchPath(pattern, path)).toBe(row.match && path !== 'ab/c')
  })
  test.each([
    ['a*/b*c', 'axx/bxxc', true],
    ['*/x', 'a/b/x', false],
    ['**', 'a/b', false],
    ['a[^b]c', 'a/c', true],
    ['[z-a]', 'b', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
  ] as const)('%s on %s: %p', (pattern, path, match) => {
    expect(matchPath(pattern, path)).toBe(match)
  })
  test('takes many stars without backtracking', () => {
    expect(matchPath(`${'*a'.repeat(500)}b`, 'a'.repeat(4000))).toBe(false)
    expect(matchPath('x'.repeat(300_000), 'y')).toBe(false)
  })
})

describe('cleanPath()', () => {
  test.each([
    ['', '.'],
    ['a//b/./c/..', 'a/b'],
    ['/../a/', '/a'],
    ['../../a', '../../a'],
    ['a/../..', '..'],
    ['/', '/'],
    ['//', '/'],
  ])('%j is %j', (path, clean) => {
    expect(cleanPath(path)).toBe(clean)
  })
})

describe('hasWildcard()', () => {
  test('knows what is not taken literally', () => {
    expect(['a*', 'a?', '[a]', 'a\\*', 'a/b'].map(hasWildcard)).toEqual([true, true, true, true, false])
  })
})
