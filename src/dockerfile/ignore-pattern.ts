import { inClass, type PathClass, type PathToken, parsePathPattern } from './path-match.ts'

/** A path token, `**` and a slash (any directories, or none), or `**` at the end (anything). */
type IgnoreToken = PathToken | 'directories' | 'anything'

const separator = 0x2f
/** More stars than this could make a backtracking expression slow; the pattern is then simulated state by state. */
const maxStarsInExpression = 2

/**
 * One pattern of an ignore file without its `!`, cleaned: `filepath.Match`'s grammar and `**`, matched against a
 * whole path. Matching never takes more than length × length steps.
 */
export class IgnorePattern {
  readonly #tokens: readonly IgnoreToken[]
  readonly #test: (path: string) => boolean
  /** `**text`: anything that ends so, in whatever directory. */
  readonly #endsAnywhere: boolean

  private constructor(text: string, tokens: readonly IgnoreToken[]) {
    this.#tokens = tokens
    this.#endsAnywhere = text.startsWith('**') && !/[*?[\]\\]/.test(text.slice(2))
    this.#test = this.#endsAnywhere ? endsWith(text.slice(2)) : testOf(tokens)
  }

  /** The pattern `text`, undefined where it is malformed. */
  static parse(text: string): IgnorePattern | undefined {
    const tokens = parsePathPattern(text)
    return tokens === undefined ? undefined : new IgnorePattern(text, joinStars(tokens))
  }

  matches(path: string): boolean {
    return this.#test(path)
  }

  /** False only when no path below `directory` can match. */
  mayMatchBelow(directory: string): boolean {
    return this.#endsAnywhere || runStates(this.#tokens, `${directory}/`).some((state) => state !== 0)
  }
}

function joinStars(tokens: readonly PathToken[]): IgnoreToken[] {
  const joined: IgnoreToken[] = []
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index]
    if (token === undefined) break
    if (token !== '*' || tokens[index + 1] !== '*') {
      joined.push(token)
      continue
    }
    index += tokens[index + 2] === separator ? 2 : 1
    joined.push(index === tokens.length - 1 ? 'anything' : 'directories')
  }
  return joined
}

function endsWith(suffix: string): (path: string) => boolean {
  if (!suffix.startsWith('/')) return (path) => path.endsWith(suffix)
  const name = suffix.slice(1)
  return (path) => path.endsWith(suffix) || path === name
}

function testOf(tokens: readonly IgnoreToken[]): (path: string) => boolean {
  if (tokens.every((token) => typeof token === 'number')) {
    const literal = tokens.map((token) => String.fromCodePoint(token)).join('')
    return (path) => path === literal
  }
  if (tokens.filter((token) => typeof token === 'string' && token !== '?').length > maxStarsInExpression) {
    return (path) => ((runStates(tokens, path).at(-1) ?? 0) & atToken) !== 0
  }
  const expression = new RegExp(`^${tokens.map(expressionOf).join('')}$`, 'su')
  return (path) => expression.test(path)
}

function expressionOf(token: IgnoreToken): string {
  switch (token) {
    case '*':
      return '[^/]*'
    case '?':
      return '[^/]'
    case 'anything':
      return '.*'
    case 'directories':
      return '(?:.*/)?'
    default:
      return typeof token === 'number' ? literalPoint(token) : classExpression(token)
  }
}

function classExpression(set: PathClass): string {
  const ranges = set.ranges.filter(([low, high]) => low <= high)
  if (ranges.length === 0) return set.negated ? '.' : '[]'
  const members = ranges.map(([low, high]) => `${literalPoint(low)}-${literalPoint(high)}`)
  return `[${set.negated ? '^' : ''}${members.join('')}]`
}

function literalPoint(point: number): string {
  return `\\u{${point.toString(16)}}`
}

/** A state is at a token, or inside the directories that a `**` takes; a token can be in both. */
const atToken = 1
const insideDirectories = 2

/** For each token and the end, in which states the pattern can be once `path` was read. */
function runStates(tokens: readonly IgnoreToken[], path: string): Uint8Array {
  let states = new Uint8Array(tokens.length + 1)
  enter(tokens, states, 0)
  for (const char of path) {
    const point = char.codePointAt(0) ?? 0
    const next = new Uint8Array(tokens.length + 1)
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index]
      if (states[index] === 0 || token === undefined) continue
      step(tokens, next, index, token, point)
    }
    states = next
  }
  return states
}

function step(
  tokens: readonly IgnoreToken[],
  next: Uint8Array,
  index: number,
  token: IgnoreToken,
  point: number,
): void {
  if (token === 'directories') {
    next[index] = (next[index] ?? 0) | insideDirectories
    if (point === separator) enter(tokens, next, index + 1)
  } else if (token === 'anything' || (token === '*' && point !== separator)) {
    enter(tokens, next, index)
  } else if (token === '?' ? point !== separator : token === point || isMember(token, point)) {
    enter(tokens, next, index + 1)
  }
}

function isMember(token: IgnoreToken, point: number): boolean {
  return typeof token === 'object' && inClass(token, point)
}

/** Marks `index`, and what follows tokens that can match nothing. */
function enter(tokens: readonly IgnoreToken[], states: Uint8Array, index: number): void {
  for (let at = index; ; at++) {
    states[at] = (states[at] ?? 0) | atToken
    const token = tokens[at]
    if (token !== '*' && token !== 'anything' && token !== 'directories') return
  }
}
