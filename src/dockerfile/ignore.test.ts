import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { IgnorePattern } from './ignore-pattern.ts'
import { IgnoreMatcher, type ParentMatch, parseIgnoreFile } from './ignore.ts'
import { cleanPath } from './path-match.ts'

interface Row {
  readonly pattern: string
  readonly path: string
  readonly match: boolean
  readonly error?: boolean
}
const table = JSON.parse(
  readFileSync(join(import.meta.dir, '../../test/fixtures/dockerfile/patternmatcher-cases.json'), 'utf8'),
) as {
  readonly single: readonly Row[]
  readonly multi: readonly { readonly patterns: readonly string[]; readonly path: string; readonly match: boolean }[]
  readonly filepath_match_via_Matches: readonly Row[]
}

/** What a walk from the root finds for `path`, directory by directory. */
function walked(matcher: IgnoreMatcher, path: string): boolean {
  let match: ParentMatch | undefined
  const parts = path.split('/')
  for (let count = 1; count <= parts.length; count++)
    match = matcher.matchesWithParent(parts.slice(0, count).join('/'), match)
  return match?.matched === true
}

/** The expression that moby's Pattern.compile() makes, for patterns without escapes. */
function mobyExpression(clean: string): RegExp {
  // `**text` with nothing special after it is taken for an ending.
  if (/^\*\*[^*?[]*$/.test(clean) && !clean.startsWith('**/'))
    return new RegExp(`${clean.slice(2).replaceAll('.', '\\.')}$`)
  let expression = ''
  for (let rest = clean; rest !== '';) {
    const [token = ''] = /^(\*\*\/?|\*|\?|\[[^\]]*\]|.)/.exec(rest) ?? []
    rest = rest.slice(token.length)
    if (token.startsWith('**')) expression += rest === '' ? '.*' : '(.*/)?'
    else if (token === '*') expression += '[^/]*'
    else if (token === '?') expression += '[^/]'
    else expression += token === '.' ? '\\.' : token
  }
  return new RegExp(`^${expression}$`)
}

describe("moby's table", () => {
  test('has 68 + 4 + 54 rows', () => {
    expect([table.single.length, table.multi.length, table.filepath_match_via_Matches.length]).toEqual([68, 4, 54])
  })
  test.each(table.single.map((row) => [row.pattern, row.path, row.match] as const))(
    '%s on %s: %p',
    (pattern, path, match) => {
      const matcher = new IgnoreMatcher([pattern])
      expect(matcher.matches(path)).toBe(match)
      if (cleanPath(path) === path && path !== '/') expect(walked(matcher, path)).toBe(match)
    },
  )
  test.each(table.multi.map((row) => [row.patterns, row.path, row.match] as const))(
    '%j on %s: %p',
    (patterns, path, match) => {
      const matcher = new IgnoreMatcher(patterns)
      expect(matcher.matches(path)).toBe(match)
      expect(walked(matcher, path)).toBe(match)
    },
  )
  test.each(table.filepath_match_via_Matches.map((row) => [row.pattern, row.path, row] as const))(
    '%s on %s',
    (pattern, path, row) => {
      if (row.error === true) {
        expect(() => new IgnoreMatcher([pattern])).toThrow(expect.objectContaining({ code: 'IGNORE_INVALID' }))
      } else {
        expect(new IgnoreMatcher([pattern]).matches(path)).toBe(row.match)
      }
    },
  )
})

describe('IgnoreMatcher', () => {
  test.each([
    [['a'], 'a/b/c', true],
    [['a', '!a/b'], 'a/b/c', false],
    [['a', '!a/b'], 'a/c', true],
    [['a', '!a/b', 'a/b/c'], 'a/b/c/d', true],
    [['!a', 'a'], 'a', true],
    [['*', '!*.go', '!go.mod'], 'x/y.go', true],
    [['**', '!**/*.go'], 'x/y.go', false],
    [['**/node_modules'], 'x/node_modules/y', true],
    [['**node'], 'x/mynode', true],
    [['a**/b'], 'axx/b', true],
    [['a**/b'], 'axxb', false],
    [['a**b'], 'ax/b', true],
    [['/a'], 'a', false],
    [['a/../b/'], 'b', true],
    [['[*?]x'], '*x', true],
    [['\\d'], 'd', true],
    [['a^b*'], 'a^bc', true],
    [['[^/]x/**/y/*/z*'], 'ax/b/c/y/q/zz', true],
  ] as const)('%j on %s: %p', (patterns, path, match) => {
    const matcher = new IgnoreMatcher(patterns)
    expect(matcher.matches(path)).toBe(match)
    expect(walked(matcher, path)).toBe(match)
  })

  test('canSkipDirectory() is true only where no exception can reach below', () => {
    const skips = (patterns: readonly string[], directory: string): boolean => {
      const matcher = new IgnoreMatcher(patterns)
      return matcher.canSkipDirectory(directory, matcher.matchesWithParent(directory))
    }
    expect(skips(['a'], 'a')).toBe(true)
    expect(skips(['a'], 'b')).toBe(false)
    expect(skips(['a', '!a/b/c'], 'a')).toBe(false)
    expect(skips(['a', '!a/b/c'], 'a/b')).toBe(false)
    expect(skips(['a', '!a/b/c'], 'a/d')).toBe(true)
    expect(skips(['a', '!ab/c'], 'a')).toBe(true)
    expect(skips(['*', '!**/*.go'], 'a')).toBe(false)
    expect(skips(['*', '!*.go'], 'a')).toBe(true)
    expect(skips(['*', '!src/*/x'], 'src/a')).toBe(false)
    expect(skips(['*', '!src/*/x'], 'lib')).toBe(true)
    expect(skips(['!a/b', 'a'], 'a')).toBe(true)
  })

  const part = fc.string({
    unit: fc.constantFrom('a', 'b', '*', '**', '?', '.', '[ab]', '[^a]'),
    minLength: 1,
    maxLength: 4,
  })
  const pattern = fc
    .tuple(fc.constantFrom('', '', '!'), fc.array(part, { minLength: 1, maxLength: 4 }))
    .map(([mark, parts]) => mark + parts.join('/'))
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), minLength: 1, maxLength: 3 })
  const path = fc.array(
    name.filter((text) => !/^\.+$/.test(text)),
    { minLength: 1, maxLength: 4 },
  )

  test('one pattern matches what moby turns it into', () => {
    fc.assert(
      fc.property(pattern, path, (text, parts) => {
        const clean = cleanPath(text)
        if (clean.startsWith('!')) return
        const full = parts.join('/')
        const expected = mobyExpression(clean)
        const paths = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
        expect(new IgnoreMatcher([clean]).matches(full)).toBe(paths.some((above) => expected.test(above)))
      }),
      { numRuns: 5000 },
    )
  })

  test('a walk that keeps results of directories finds what single questions find where there is no exception', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, (patterns, parts) => {
        const matcher = new IgnoreMatcher(patterns.filter((text) => !cleanPath(text).startsWith('!')))
        const full = parts.join('/')
        expect(walked(matcher, full)).toBe(matcher.matches(full))
      }),
      { numRuns: 2000 },
    )
  })

  test('a walk does not remember an exception that had nothing to except, as in docker', () => {
    const matcher = new IgnoreMatcher(['**/*.md', '!docs'])
    expect(matcher.matches('docs/a.md')).toBe(false)
    expect(walked(matcher, 'docs/a.md')).toBe(true)
  })

  test('a directory that may be skipped holds nothing that is included', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), path, path, (patterns, directory, below) => {
        const matcher = new IgnoreMatcher(patterns.filter((text) => cleanPath(text) !== '!'))
        const parent = directory.join('/')
        if (!matcher.canSkipDirectory(parent, matcher.matchesWithParent(parent))) return
        const full = `${parent}/${below.join('/')}`
        expect(matcher.matches(full)).toBe(true)
        expect(walked(matcher, full)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  test('a path matches where it or a directory above it does', () => {
    fc.assert(
      fc.property(pattern, path, (text, parts) => {
        const clean = cleanPath(text)
        const one = clean.startsWith('!') ? undefined : IgnorePattern.parse(clean)
        const paths = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
        const each = paths.some((above) => one?.matches(above))
        expect(one?.matchesAtOrAbove(parts.join('/')) ?? false).toBe(each)
      }),
      { numRuns: 3000 },
    )
  })

  // Each takes milliseconds, and minutes once it backtracks or looks at every directory above anew.
  test.each([
    ['a*', 3000, 'a'.repeat(4000)],
    ['*a', 3000, 'a'.repeat(4000)],
    ['**/a*', 1000, 'a/'.repeat(2000)],
    ['**/a', 1000, 'a/'.repeat(2000)],
    ['**/', 20_000, 'a/'.repeat(2000)],
    ['*', 60_000, 'a/'.repeat(2000)],
    ['*/', 10_000, 'a/'.repeat(2000)],
    ['**a', 1000, 'a'.repeat(4000)],
    ['a**/', 2, 'a/'.repeat(2000)],
    ['*a', 2, 'a'.repeat(4000)],
    ['x/', 20_000, 'x/'.repeat(100_000)],
    ['**/x', 1, 'x/'.repeat(100_000)],
    ['[^a-y]', 4, 'z'.repeat(2000)],
  ])('%s, %d times, does not match a long path, and that is soon known', (piece, count, long) => {
    const text = piece.replace('a-y', 'a-y'.repeat(5000)).repeat(count)
    const matcher = new IgnoreMatcher(['*', `!${text}no`])
    const match = matcher.matchesWithParent(long.slice(0, 4000))
    expect(match.matched).toBe(true)
    expect(matcher.matches(`${long}b`)).toBe(true)
    matcher.canSkipDirectory(long.slice(0, 2000), match)
  })

  test('says where a malformed pattern stands', () => {
    expect(() => IgnoreMatcher.fromFile('# x\n\nok\n a[ \n', 'Dockerfile.dockerignore')).toThrow(
      'Dockerfile.dockerignore:4: syntax error in pattern "a["',
    )
    expect(() => IgnoreMatcher.fromFile('!\n')).toThrow('.dockerignore:1: illegal exclusion pattern: "!"')
    expect(() => IgnoreMatcher.fromFile(`x\n${'y'.repeat(70_000)}`)).toThrow('.dockerignore:2: line greater than')
  })
})

describe('parseIgnoreFile()', () => {
  test('drops comments and blank lines, trims and cleans', () => {
    const text = '\ufeff# comment\n/x\n  a/b/../c/ \r\n\n#d\n #e\n! /inv/abs\n!\n/\n..//f\n'
    const expected = ['x', 'a/c', '#e', '!inv/abs', '!', '/', '../f']
    expect(parseIgnoreFile(text)).toEqual(expected)
    expect(parseIgnoreFile(new TextEncoder().encode(text))).toEqual(expected)
  })
})
