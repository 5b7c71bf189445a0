import { CairnError } from '../errors/error.ts'
import { printable, shortenMiddle } from './characters.ts'
import { type ExcerptSource, renderExcerpt } from './excerpt.ts'
import type { ReadText, SourceRange } from './instruction.ts'
import { inclusionTrail } from './source-order.ts'

/** One thing that is wrong in a Dockerfile. */
export interface DockerfileProblem {
  /** What is wrong, in BuildKit's words, without the line. */
  readonly message: string
  readonly range: SourceRange
  readonly hint?: string
}

/** Messages quote the file; one longer than this loses its middle. */
const maxMessage = 1000

/**
 * A Dockerfile that cannot be used (code DOCKERFILE_INVALID). The message is that of the first problem with its
 * line; `problems` lists all independent ones in the order of the file.
 */
export class DockerfileError extends CairnError {
  readonly filename: string
  readonly problems: readonly DockerfileProblem[]
  /** Where the first problem stands. */
  readonly range: SourceRange
  /** What could be read before the first problem; undefined for what is no file, as ONBUILD triggers. */
  readonly readBefore: ReadText | undefined
  readonly #source: ExcerptSource

  constructor(
    source: ExcerptSource,
    problems: readonly [DockerfileProblem, ...DockerfileProblem[]],
    readBefore?: ReadText,
  ) {
    const first = problems[0]
    const more = problems.length - 1
    const rest = more === 0 ? '' : ` (and ${more} more ${more === 1 ? 'problem' : 'problems'})`
    super('DOCKERFILE_INVALID', `${placed(source.filename, first)}${rest}`, { hint: first.hint })
    this.filename = source.filename
    this.problems = problems
    this.range = first.range
    this.readBefore = readBefore
    this.#source = source
  }

  /** Every problem with its line and the lines around it, for the terminal; at most `limit` of them. */
  excerpt(limit = 5): string {
    const shown = this.problems.slice(0, limit)
    const blocks = shown.map((problem) => {
      const lines = renderExcerpt(this.#source, problem.range)
      return this.problems.length === 1 ? lines : `${atLine(problem)}\n${lines}`
    })
    const left = this.problems.length - shown.length
    if (left > 0) blocks.push(`… and ${left} more`)
    return blocks.filter((block) => block !== '').join('\n')
  }
}

/** With the file's name, and for an included file how it came to be read. */
function placed(filename: string, problem: DockerfileProblem): string {
  const { range } = problem
  return `${range.file?.filename ?? filename}: ${atLine(problem)}${inclusionTrail(filename, range)}`
}

function atLine(problem: DockerfileProblem): string {
  return `dockerfile parse error on line ${problem.range.start}: ${printable(shortenMiddle(problem.message, maxMessage))}`
}
