/** Stands for `?` in a segment. */
const anyOne = -1

/** How much comparing one expansion may do before it is refused, in code points. */
export interface MatchBudget {
  left: number
}

/** The pattern cannot be used; the message completes `invalid pattern (…) in substitution: `. */
export class PatternSyntaxError extends Error {}

/** The comparisons allowed for one word are used up. */
export class PatternCostError extends Error {}

/**
 * A pattern of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*` is any text, `?` any one code
 * point, `\*`, `\?` and `\\` stand for themselves, and `\}` and `\/` for what they keep from closing the expansion.
 * There are no bracket expressions (POSIX XCU 2.13 without 2.13.1's bracket part, as BuildKit has it).
 *
 * Matching places each piece between stars once, so a pattern with many stars costs no more than one with a few.
 */
export class ShellPattern {
  /** What stands between the stars: one more than there are stars. */
  readonly #segments: readonly (readonly number[])[]
  readonly #budget: MatchBudget

  /** Throws {@link PatternSyntaxError} for an escape of any other character. */
  constructor(pattern: string, budget: MatchBudget) {
    this.#segments = parseSegments(pattern)
    this.#budget = budget
  }

  /** `value` without the shortest, or `longest`, beginning that matches; unchanged where none does. */
  removePrefix(value: string, longest: boolean): string {
    const points = codePoints(value)
    const end = this.#endOfMatch(this.#segments, points, 0, longest)
    return end < 0 ? value : fromCodePoints(points, end, points.length)
  }

  /** `value` without the shortest, or `longest`, ending that matches; unchanged where none does. */
  removeSuffix(value: string, longest: boolean): string {
    const points = codePoints(value)
    const mirrored = this.#segments.map((segment) => segment.toReversed()).toReversed()
    const end = this.#endOfMatch(mirrored, points.toReversed(), 0, longest)
    return end < 0 ? value : fromCodePoints(points, 0, points.length - end)
  }

  /** `value` with the first match, or `all`, replaced by `text` taken literally. Each match is as long as can be. */
  replace(value: string, text: string, all: boolean): string {
    const points = codePoints(value)
    const first = this.#segments[0] ?? []
    let out = ''
    let copied = 0
    let from = 0
    let previousEnd = -1
    while (from <= points.length) {
      const start = this.#find(first, points, from)
      const end = start < 0 ? -1 : this.#endOfMatch(this.#segments, points, start, true)
      if (end < 0) break
      // An empty match right after another match is none: `*` matches "abc" once.
      if (end > start || start !== previousEnd) {
        out += fromCodePoints(points, copied, start) + text
        copied = end
        previousEnd = end
        if (!all) break
      }
      from = end > start ? end : start + 1
    }
    return out + fromCodePoints(points, copied, points.length)
  }

  /** Where the match that begins at `start` ends, or -1. */
  #endOfMatch(
    segments: readonly (readonly number[])[],
    points: readonly number[],
    start: number,
    longest: boolean,
  ): number {
    const first = segments[0] ?? []
    if (!this.#matchesAt(first, points, start)) return -1
    let position = start + first.length
    for (let index = 1; index < segments.length; index++) {
      const segment = segments[index] ?? []
      const isLast = index === segments.length - 1
      const found =
        isLast && longest ? this.#findLast(segment, points, position) : this.#find(segment, points, position)
      if (found < 0) return -1
      position = found + segment.length
    }
    return position
  }

  #find(segment: readonly number[], points: readonly number[], from: number): number {
    for (let start = from; start + segment.length <= points.length; start++) {
      if (this.#matchesAt(segment, points, start)) return start
    }
    return -1
  }

  #findLast(segment: readonly number[], points: readonly number[], from: number): number {
    for (let start = points.length - segment.length; start >= from; start--) {
      if (this.#matchesAt(segment, points, start)) return start
    }
    return -1
  }

  #matchesAt(segment: readonly number[], points: readonly number[], start: number): boolean {
    if (start + segment.length > points.length) return false
    let matched = 0
    while (matched < segment.length) {
      const wanted = segment[matched]
      if (wanted !== anyOne && wanted !== points[start + matched]) break
      matched++
    }
    this.#budget.left -= matched + 1
    if (this.#budget.left < 0) throw new PatternCostError()
    return matched === segment.length
  }
}

function parseSegments(pattern: string): number[][] {
  const points = codePoints(pattern)
  let current: number[] = []
  const segments = [current]
  for (let index = 0; index < points.length; index++) {
    const point = points[index] ?? 0
    if (point === 0x2a) {
      current = []
      segments.push(current)
    } else if (point === 0x3f) {
      current.push(anyOne)
    } else if (point === 0x5c) {
      current.push(escaped(points[++index]))
    } else {
      current.push(point)
    }
  }
  return segments
}

function escaped(point: number | undefined): number {
  const char = point === undefined ? '' : String.fromCodePoint(point)
  if (point === undefined || !'*?\\}/'.includes(char)) throw new PatternSyntaxError(`invalid escape '\\${char}'`)
  return point
}

function codePoints(text: string): number[] {
  const points: number[] = []
  for (let index = 0; index < text.length; index++) {
    const point = text.codePointAt(index) ?? 0
    points.push(point)
    if (point > 0xffff) index++
  }
  return points
}

function fromCodePoints(points: readonly number[], start: number, end: number): string {
  let out = ''
  for (let at = start; at < end; at += 4096) out += String.fromCodePoint(...points.slice(at, Math.min(end, at + 4096)))
  return out
}
