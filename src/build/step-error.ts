import { printable, shortenMiddle } from '../dockerfile/characters.ts'
import { renderExcerpt } from '../dockerfile/excerpt.ts'
import { DockerfileError } from '../dockerfile/dockerfile-error.ts'
import type { Dockerfile, SourceRange } from '../dockerfile/instruction.ts'
import { compareRanges } from '../dockerfile/source-order.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import type { ErrorCode } from '../errors/codes.ts'

/** Messages quote the file; one longer than this loses its middle. */
const maxMessage = 4000

/** A failure of one instruction: the cause's code and message, with the lines it comes from. */
export class StepError extends CairnError {
  readonly range: SourceRange
  /** All that is wrong, this first, where several things were found at once. */
  readonly problems: readonly { readonly message: string; readonly range: SourceRange }[]
  /** `Dockerfile:12` and the lines around, as BuildKit prints them. */
  readonly excerpt: string
  /** Title of the step while it ran; undefined for what is found before anything runs. */
  readonly title: string | undefined
  /** Last lines the step wrote. */
  readonly logTail: readonly string[]

  constructor(
    cause: unknown,
    dockerfile: Dockerfile,
    range: SourceRange,
    step: { readonly title: string; readonly logTail: readonly string[] } | undefined,
    others: readonly StepError[] = [],
  ) {
    const known = cause instanceof CairnError ? cause : undefined
    const code: ErrorCode = known?.code ?? 'STEP_INVALID'
    const message = printable(shortenMiddle(cause instanceof Error ? cause.message : String(cause), maxMessage))
    const more =
      others.length === 0 ? '' : ` (and ${others.length} more ${others.length === 1 ? 'problem' : 'problems'})`
    super(code, message + more, {
      cause,
      hint: known?.hint,
      exitCode: known?.exitCode,
    })
    this.range = range
    this.problems = [{ message, range }, ...others]
    const excerpt = renderExcerpt(dockerfile, range)
    this.excerpt = others.length === 0 ? excerpt : severalExcerpts([{ message, excerpt }, ...others])
    this.title = step?.title
    this.logTail = step?.logTail ?? []
  }
}

const shownProblems = 5

function severalExcerpts(problems: readonly { readonly message: string; readonly excerpt: string }[]): string {
  const blocks = problems.slice(0, shownProblems).map(({ message, excerpt }) => `${message}\n${excerpt}`)
  const left = problems.length - blocks.length
  if (left > 0) blocks.push(`… and ${left} more`)
  return blocks.join('\n')
}

/** Collects what is wrong in several places of a Dockerfile, so that all of it can be told at once. */
export class ProblemList {
  readonly #dockerfile: Dockerfile
  readonly #problems: StepError[] = []

  constructor(dockerfile: Dockerfile) {
    this.#dockerfile = dockerfile
  }

  /** Runs `action`. What it throws is kept with its place and gives undefined; only Ctrl-C passes. */
  collect<Result>(range: SourceRange, action: () => Result): Result | undefined {
    try {
      return action()
    } catch (error) {
      this.add(error, range)
      return undefined
    }
  }

  /** Keeps `error` with its place. Throws it where it is not about the Dockerfile: Ctrl-C. */
  add(error: unknown, range: SourceRange): void {
    const located = atRange(error, this.#dockerfile, range)
    if (!(located instanceof StepError)) throw located
    this.#problems.push(located)
  }

  /** Throws a {@link StepError} for what was collected, in the order of the text, if anything was. */
  throwIfAny(): void {
    const [first, ...others] = this.#problems.toSorted((a, b) => compareRanges(a.range, b.range))
    if (first === undefined) return
    throw others.length === 0 ? first : new StepError(first.cause, this.#dockerfile, first.range, undefined, others)
  }
}

/** The error with its place in the Dockerfile; one that has a place, and Ctrl-C, stay as they are. */
export function atRange(
  error: unknown,
  dockerfile: Dockerfile,
  range: SourceRange,
  step?: { readonly title: string; readonly logTail: readonly string[] },
): CairnError {
  if (error instanceof StepError || error instanceof DockerfileError || isCairnError(error, 'CANCELED')) return error
  return new StepError(error, dockerfile, range, step)
}
