import { StepError } from '../../build/step-error.ts'
import type { Store } from '../../content/store.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import type { SourceRange } from '../../dockerfile/instruction.ts'
import { type Finding, Linter } from '../../dockerfile/lint/linter.ts'
import { type CairnError, isCairnError } from '../../errors/error.ts'
import { checkOptions, type LintedText } from './lint.ts'
import { planOnly, type PlanOnlyOptions } from './plan-only.ts'

/** What a check of a Dockerfile found. */
export interface CheckReport {
  /** The file; undefined where it could not even be read. */
  readonly text: LintedText | undefined
  /** In the order in which they were found. */
  readonly findings: readonly Finding[]
  /** Why the file could not be built, whatever the rules say. */
  readonly error: CairnError | undefined
  /** What is wrong, and where; the same as `error`. Without a range for what has no place in the file. */
  readonly problems: readonly { readonly message: string; readonly range?: SourceRange }[]
}

/**
 * Judges a Dockerfile by every rule and plans it, without doing anything: the stages the target needs, or all of them
 * where none is given. BuildKit's `lint` request. Throws what is not about the Dockerfile.
 */
export async function checkBuild(store: Store, options: PlanOnlyOptions): Promise<CheckReport> {
  const findings: Finding[] = []
  let text: LintedText | undefined
  let error: CairnError | undefined
  try {
    await planOnly(store, { ...options, allStages: options.target === undefined }, (read) => {
      const asked = checkOptions(read, options.buildArgs)
      text = read
      return new Linter(asked, (finding) => findings.push(finding))
    })
  } catch (caught) {
    if (!isCairnError(caught) || text === undefined || caught.kind === 'canceled') throw caught
    error = caught
  }
  return { text, findings, error, problems: error === undefined ? [] : problemsOf(error) }
}

function problemsOf(error: CairnError): CheckReport['problems'] {
  if (error instanceof DockerfileError)
    return error.problems.map(({ message, range }) => ({
      message: `dockerfile parse error on line ${range.start}: ${message}`,
      range,
    }))
  return error instanceof StepError ? error.problems : [{ message: error.message }]
}
