/**
 * A pattern of repository names: `*` stands for anything within a component, `**` for any components, `{user}` for the
 * name of who asks.
 */
export function matchesRepository(pattern: string, repository: string, user: string | undefined): boolean {
  if (pattern === '**') return true
  if (pattern.includes('{user}') && user === undefined) return false
  return expressionOf(pattern.replaceAll('{user}', user ?? '')).test(repository)
}

/** True when `name` is matched by a pattern in which `*` stands for anything. */
export function matchesName(pattern: string, name: string): boolean {
  return pattern === '*' || expressionOf(pattern).test(name)
}

const mostExpressions = 10_000
const expressions = new Map<string, RegExp>()

function expressionOf(pattern: string): RegExp {
  const known = expressions.get(pattern)
  if (known !== undefined) return known
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : RegExp.escape(part)))
    .join('')
  const expression = new RegExp(`^${source}$`)
  if (expressions.size >= mostExpressions) expressions.clear()
  expressions.set(pattern, expression)
  return expression
}
