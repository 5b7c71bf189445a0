/** Farther than this, a name is not a typo of another. */
const maxDistance = 2

/**
 * The option nearest to `value` by edit distance (at most 2 edits), in the case `value` is written in unless
 * `caseSensitive`; undefined where none is near, or where `value` is itself an option.
 */
export function suggest(value: string, options: Iterable<string>, caseSensitive = false): string | undefined {
  const wanted = caseSensitive ? value : value.toLowerCase()
  let best: string | undefined
  let bestDistance = maxDistance + 1
  for (const option of options) {
    const candidate = caseSensitive ? option : option.toLowerCase()
    if (candidate === wanted) return undefined
    const distance = editDistance(wanted, candidate, bestDistance)
    if (distance >= bestDistance) continue
    best = caseSensitive ? candidate : inCaseOf(candidate, value)
    bestDistance = distance
  }
  return best
}

/** `message`, with ` (did you mean x?)` where {@link suggest} finds one. */
export function withSuggestion(
  message: string,
  value: string,
  options: Iterable<string>,
  caseSensitive = false,
): string {
  const match = suggest(value, options, caseSensitive)
  return match === undefined ? message : `${message} (did you mean ${match}?)`
}

function inCaseOf(candidate: string, model: string): string {
  return model === model.toUpperCase() && model !== model.toLowerCase() ? candidate.toUpperCase() : candidate
}

/** Levenshtein distance of `a` and `b`; any number of at least `limit` once it cannot be below it. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    let least = row
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const cost = Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1)
      current.push(cost)
      if (cost < least) least = cost
    }
    if (least >= limit) return limit
    previous = current
  }
  return previous[b.length] ?? limit
}
