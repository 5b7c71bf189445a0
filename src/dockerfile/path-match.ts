import { CairnError } from '../errors/error.ts'
import { quoteGo, shorten } from './characters.ts'

/** `path` in its shortest form by text alone, as Go's `path.Clean`: no `.`, no inner `..`, no double or last `/`. */
export function cleanPath(path: string): string {
  const rooted = path.startsWith('/')
  const kept: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') kept.push(part)
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop()
    else if (!rooted) kept.push('..')
  }
  const joined = kept.join('/')
  if (rooted) return `/${joined}`
  return joined === '' ? '.' : joined
}

/** A bracket expression: ranges of code points, both ends included. */
export interface PathClass {
  readonly negated: boolean
  readonly ranges: readonly (readonly [number, number])[]
}

/** A code point, a class, any one but `/`, or any number of any but `/`. */
export type PathToken = number | PathClass | '?' | '*'

/** True when `point` is in `set`. */
export function inClass(set: PathClass, point: number): boolean {
  return set.ranges.some(([low, high]) => low <= point && point <= high) !== set.negated
}

const separator = 0x2f

/**
 * The tokens of a pattern of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]` and `\x`; undefined where the
 * pattern is malformed.
 */
export function parsePathPattern(pattern: string): PathToken[] | undefined {
  const points = Array.from(pattern, (char) => char.codePointAt(0) ?? 0)
  const tokens: PathToken[] = []
  for (let index = 0; index < points.length; index++) {
    const point = points[index] ?? 0
    if (point === 0x2a) tokens.push('*')
    else if (point === 0x3f) tokens.push('?')
    else if (point === 0x5b) {
      const parsed = parseClass(points, index + 1)
      if (parsed === undefined) return undefined
      tokens.push(parsed.set)
      index = parsed.end
    } else if (point === 0x5c) {
      const escaped = points[++index]
      if (escaped === undefined) return undefined
      tokens.push(escaped)
    } else tokens.push(point)
  }
  return tokens
}

/** The class whose `[` stands before `start`, and where its `]` is. */
function parseClass(points: readonly number[], start: number): { set: PathClass; end: number } | undefined {
  let index = start
  const negated = points[index] === 0x5e
  if (negated) index++
  const ranges: [number, number][] = []
  for (;;) {
    if (points[index] === 0x5d && ranges.length > 0) return { set: { negated, ranges }, end: index }
    const low = classMember(points, index)
    if (low === undefined) return undefined
    index = low.end
    let high = low
    if (points[index] === 0x2d) {
      const upper = classMember(points, index + 1)
      if (upper === undefined) return undefined
      high = upper
      index = high.end
    }
    ranges.push([low.point, high.point])
  }
}

function classMember(points: readonly number[], start: number): { point: number; end: number } | undefined {
  let index = start
  let point = points[index]
  if (point === undefined || point === 0x2d || point === 0x5d) return undefined
  if (point === 0x5c) point = points[++index]
  if (point === undefined || index + 1 >= points.length) return undefined
  return { point, end: index + 1 }
}

/**
 * True when all of `name` matches `pattern` as in Go's `filepath.Match`: `*` and `?` do not match `/`, there is no
 * `**`. Throws WORD_INVALID for a malformed pattern. Takes at most length × length steps.
 */
export function matchPath(pattern: string, name: string): boolean {
  return compilePathPattern(pattern)(name)
}

/** {@link matchPath} with the pattern read once. */
export function compilePathPattern(pattern: string): (name: string) => boolean {
  const tokens = parsePathPattern(pattern)
  if (tokens === undefined) {
    throw new CairnError('WORD_INVALID', `syntax error in pattern ${quoteGo(shorten(pattern))}`, {
      hint: 'Close each [ with a ], and write \\\\ for a backslash.',
    })
  }
  if (tokens.every((token) => typeof token === 'number')) {
    const literal = tokens.map((token) => String.fromCodePoint(token)).join('')
    return (name) => name === literal
  }
  return (name) => matchTokens(tokens, name)
}

/** True when `pattern` has a character that is not taken literally. */
export function hasWildcard(pattern: string): boolean {
  return /[*?[\\]/.test(pattern)
}

function matchTokens(tokens: readonly PathToken[], name: string): boolean {
  const points = Array.from(name, (char) => char.codePointAt(0) ?? 0)
  let token = 0
  let point = 0
  // After a mismatch only the last star takes one more: what stands before it has been placed as early as can be.
  let starToken = -1
  let starPoint = 0
  while (point < points.length || token < tokens.length) {
    const wanted = tokens[token]
    if (wanted === '*') {
      starToken = token++
      starPoint = point
    } else if (wanted !== undefined && point < points.length && matchesOne(wanted, points[point] ?? 0)) {
      token++
      point++
    } else if (starToken >= 0 && starPoint < points.length && points[starPoint] !== separator) {
      token = starToken + 1
      point = ++starPoint
    } else {
      return false
    }
  }
  return true
}

/** True when the token, not a star, matches `point`. */
export function matchesOne(token: PathToken, point: number): boolean {
  if (typeof token === 'number') return token === point
  if (token === '?') return point !== separator
  return token !== '*' && inClass(token, point)
}
