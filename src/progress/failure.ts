import { printable } from './printable.ts'

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
  if (vertexName !== undefined) lines.push('------', ` > ${printable(vertexName)}:`, ...logTail, '------')
  if (excerpt !== undefined && excerpt !== '') lines.push(excerpt.replace(/\n$/, ''))
  if (message !== undefined) lines.push(`ERROR: failed to build: failed to solve: ${message}`)
  return lines.map((line) => `${line}\n`).join('')
}
