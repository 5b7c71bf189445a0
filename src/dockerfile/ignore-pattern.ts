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
  readonly #matcher: PathMatcher

  private constructor(text: string, tokens: readonly IgnoreToken[]) {
    this.#tokens = tokens
    const [, suffix, nameSuffix] = /^\*\*(?:([^*?[\]\\]*)|\/\*([^*?[\]\\/]+))$/s.exec(text) ?? []
    if (suffix !== undefined) this.#matcher = endingMatcher(suffix)
    else this.#matcher = nameSuffix === undefined ? matcherOf(tokens) : nameEndingMatcher(nameSuffix)
  }

  /** The pattern `text`, undefined where it is malformed. */
  static parse(text: string): IgnorePattern | undefined {
    const tokens = parsePathPattern(text)
    return tokens === undefined ? undefined : new IgnorePattern(text, joinStars(tokens))
  }

  matches(path: string): boolean {
    return this.#matcher.matches(path)
  }

  /** True when `directory`, or one that holds it, matches; found in one go. */
  matchesAtOrAbove(directory: string): boolean {
    return this.#matcher.matchesAtOrAbove(directory)
  }

  /** False only when no path below `directory` can match. */
  mayMatchBelow(directory: string): boolean {
    return this.#matcher.endsAnywhere === true || !runStates(this.#tokens, `${directory}/`).isEmpty
  }
}

interface PathMatcher {
  readonly matches: (path: string) => boolean
  /** Whether the path or what stands before one of its slashes matches. */
  readonly matchesAtOrAbove: (path: string) => boolean
  readonly endsAnywhere?: true
}

function joinStars(tokens: readonly PathToken[]): IgnoreToken[] {
  const joined: IgnoreToken[] = []
  for (let index = 0; index < tokens.length; index++) {
    const one = tokens[index]
    if (one === undefined) break
    if (one !== '*' || tokens[index + 1] !== '*') {
      joined.push(one)
      continue
    }
    index += tokens[index + 2] === separator ? 2 : 1
    const token = index === tokens.length - 1 ? 'anything' : 'directories'
    // Any directories twice are any directories.
    if (token === 'anything' || joined.at(-1) !== token) joined.push(token)
  }
  return joined
}

/** `**text`: anything that ends so, in whatever directory. */
function endingMatcher(suffix: string): PathMatcher {
  // After `**` and a slash there need not be a directory.
  const name = suffix.startsWith('/') ? suffix.slice(1) : suffix
  return {
    matches: (path) => path.endsWith(suffix) || path === name,
    matchesAtOrAbove: (path) =>
      path.endsWith(suffix) || path.includes(`${suffix}/`) || path === name || path.startsWith(`${name}/`),
    endsAnywhere: true,
  }
}

/** `**`, a slash, `*` and text: any name that ends so, in whatever directory. */
function nameEndingMatcher(suffix: string): PathMatcher {
  return {
    matches: (path) => path.endsWith(suffix),
    matchesAtOrAbove: (path) => path.endsWith(suffix) || path.includes(`${suffix}/`),
    endsAnywhere: true,
  }
}

function matcherOf(tokens: readonly IgnoreToken[]): PathMatcher {
  if (tokens.every((token) => typeof token === 'number')) {
    const literal = tokens.map((token) => String.fromCodePoint(token)).join('')
    return {
      matches: (path) => path === literal,
      matchesAtOrAbove: (path) => path === literal || path.startsWith(`${literal}/`),
    }
  }
  if (tokens.filter((token) => typeof token === 'string' && token !== '?').length > maxStarsInExpression) {
    return {
      matches: (path) => runStates(tokens, path).areAtEnd,
      matchesAtOrAbove: (path) => runStates(tokens, path, (reached) => reached.areAtEnd).areAtEnd,
    }
  }
  const expression = tokens.map(expressionOf).join('')
  const whole = new RegExp(`^${expression}$`, 'su')
  const beginning = new RegExp(`^${expression}(?:/|$)`, 'su')
  return { matches: (path) => whole.test(path), matchesAtOrAbove: (path) => beginning.test(path) }
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

/**
 * In which states a pattern can be, for each token and the end. Only what is marked costs anything: of a long pattern
 * few tokens are reached at a time.
 */
class States {
  readonly #tokens: readonly IgnoreToken[]
  readonly #marks: Uint8Array
  readonly #marked: number[] = []

  constructor(tokens: readonly IgnoreToken[]) {
    this.#tokens = tokens
    this.#marks = new Uint8Array(tokens.length + 1)
  }

  get isEmpty(): boolean {
    return this.#marked.length === 0
  }

  get areAtEnd(): boolean {
    return ((this.#marks[this.#tokens.length] ?? 0) & atToken) !== 0
  }

  clear(): void {
    for (const index of this.#marked) this.#marks[index] = 0
    this.#marked.length = 0
  }

  /** Marks `index`, and what follows tokens that can match nothing. */
  enter(index: number): void {
    for (let at = index; ; at++) {
      // What follows was marked then too.
      if (((this.#marks[at] ?? 0) & atToken) !== 0) return
      this.#mark(at, atToken)
      const token = this.#tokens[at]
      if (token !== '*' && token !== 'anything' && token !== 'directories') return
    }
  }

  /** Marks in `next` where these states lead to with `point`. */
  step(next: States, point: number): void {
    for (const index of this.#marked) {
      const token = this.#tokens[index]
      if (token === 'directories') {
        next.#mark(index, insideDirectories)
        if (point === separator) next.enter(index + 1)
      } else if (token === 'anything' || (token === '*' && point !== separator)) {
        next.enter(index)
      } else if (token === '?' ? point !== separator : token === point || isMember(token, point)) {
        next.enter(index + 1)
      }
    }
  }

  #mark(index: number, mark: number): void {
    const before = this.#marks[index] ?? 0
    if (before === 0) this.#marked.push(index)
    this.#marks[index] = before | mark
  }
}

/** In which states the pattern can be once `path` was read; `atSlash` sees them before each slash, until it gives true. */
function runStates(tokens: readonly IgnoreToken[], path: string, atSlash?: (states: States) => boolean): States {
  let states = new States(tokens)
  let next = new States(tokens)
  states.enter(0)
  for (const char of path) {
    if (states.isEmpty || (char === '/' && atSlash?.(states) === true)) break
    states.step(next, char.codePointAt(0) ?? 0)
    states.clear()
    const empty = states
    states = next
    next = empty
  }
  return states
}

function isMember(token: IgnoreToken | undefined, point: number): boolean {
  return typeof token === 'object' && inClass(token, point)
}
