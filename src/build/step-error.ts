import { renderExcerpt } from '../dockerfile/excerpt.ts'
import { DockerfileError } from '../dockerfile/dockerfile-error.ts'
import type { Dockerfile, SourceRange } from '../dockerfile/instruction.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import type { ErrorCode } from '../errors/codes.ts'

/** A failure of one instruction: the cause's code and message, with the lines it comes from. */
export class StepError extends CairnError {
  readonly range: SourceRange
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
  ) {
    const known = cause instanceof CairnError ? cause : undefined
    const code: ErrorCode = known?.code ?? 'STEP_INVALID'
    super(code, cause instanceof Error ? cause.message : String(cause), {
      cause,
      ...(known?.hint === undefined ? {} : { hint: known.hint }),
      ...(known?.exitCode === undefined ? {} : { exitCode: known.exitCode }),
    })
    this.range = range
    this.excerpt = renderExcerpt(dockerfile, range)
    this.title = step?.title
    this.logTail = step?.logTail ?? []
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

/** Runs `action`; what it throws gets its place in the Dockerfile. */
export function locate<Result>(dockerfile: Dockerfile, range: SourceRange, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    throw atRange(error, dockerfile, range)
  }
}
