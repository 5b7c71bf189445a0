/** What the report of a failed build is made of. */
export interface BuildFailure {
  /** The step that failed; absent where none had begun. */
  readonly vertexName?: string
  /** The last lines the step wrote. */
  readonly logTail?: readonly string[]
  /** `Dockerfile:2` and the lines around it, as excerpts of Dockerfile errors show them. */
  readonly excerpt?: string
  /**
   * Why: `process "/bin/sh -c false" did not complete successfully: exit code: 1`. Without it the closing `ERROR:` line
   * is left to the caller.
   */
  readonly message?: string
}

/** BuildKit's report below a failed build, ending with a newline: the step, its last lines, the excerpt, the reason. */
export function renderFailure({ vertexName, logTail = [], excerpt, message }: BuildFailure): string {
  const lines: string[] = []
  if (vertexName !== undefined) lines.push('------', ` > ${vertexName}:`, ...logTail, '------')
  if (excerpt !== undefined && excerpt !== '') lines.push(excerpt.replace(/\n$/, ''))
  if (message !== undefined) lines.push(`ERROR: failed to build: failed to solve: ${message}`)
  return lines.map((line) => `${line}\n`).join('')
}

/** A finding about the Dockerfile, shown after a build. */
export interface BuildWarning {
  /** `FromAsCasing: 'as' and 'FROM' keywords' casing do not match`. */
  readonly short: string
  readonly line?: number
}

/** buildx's list of findings below a build, or nothing where there is none. */
export function renderWarnings(warnings: readonly BuildWarning[]): string {
  if (warnings.length === 0) return ''
  const found = warnings.length === 1 ? '1 warning found' : `${warnings.length} warnings found`
  const lines = warnings.map(({ short, line }) => ` - ${short}${line === undefined ? '' : ` (line ${line})`}`)
  return `\n ${found}:\n${lines.join('\n')}\n`
}
