import { printable } from '../characters.ts'
import type { CheckOptions, Dockerfile, ReadText, SourceRange } from '../instruction.ts'
import { suggest } from '../suggest.ts'
import type { LintFacts, LintRule, Place, Suggest } from './rule.ts'
import { lintRules } from './rules.ts'

/** One warning. */
export interface Finding {
  readonly rule: LintRule
  /** What is wrong, in one line. */
  readonly detail: string
  readonly range: SourceRange
}

/** Names compared to suggest one, in a whole file: thousands of unknown names among thousands of known ones end too. */
const mostComparisons = 100_000

const rulesOfFact = new Map<keyof LintFacts, readonly LintRule[]>()

function rulesOn(fact: keyof LintFacts): readonly LintRule[] {
  let rules = rulesOfFact.get(fact)
  if (rules === undefined) rulesOfFact.set(fact, (rules = lintRules.filter(({ on }) => on[fact] !== undefined)))
  return rules
}

/**
 * Tells rules what comes to light about a Dockerfile, and a listener what they find. Which rules run is said by the
 * file's `# check=` and by that above an instruction, which adds to it for this instruction. Dockerfile reference,
 * "check".
 */
export class Linter {
  readonly #file: CheckOptions
  readonly #listener: (finding: Finding) => void
  readonly #violated = new Set<string>()
  #comparisons = mostComparisons

  constructor(options: CheckOptions, listener: (finding: Finding) => void) {
    this.#file = options
    this.#listener = listener
  }

  /** Runs the rules that look at `fact`; `at` is what their warnings are about unless they say otherwise. */
  tell<Fact extends keyof LintFacts>(fact: Fact, value: LintFacts[Fact], at: Place): void {
    for (const rule of rulesOn(fact)) {
      if (!this.#runs(rule, at)) continue
      const report = (detail: string, about = at): void => {
        if (about !== at && !this.#runs(rule, about)) return
        this.#violated.add(rule.name)
        this.#listener({ rule, detail: printable(detail), range: about.range })
      }
      rule.on[fact]?.(value, report, this.#suggest)
    }
  }

  /** With `# check=error=true`, the rules that were violated, in the order in which they first were; else none. */
  get errors(): readonly string[] {
    return this.#file.error ? [...this.#violated] : []
  }

  readonly #suggest: Suggest = (name, known) => {
    if (this.#comparisons <= 0) return undefined
    const names = [...known]
    this.#comparisons -= names.length
    return suggest(name, names, true)
  }

  #runs(rule: LintRule, { check }: Place): boolean {
    const asked = [this.#file, ...(check === undefined ? [] : [check])]
    return rule.experimental === true
      ? asked.some(({ experimental, experimentalAll }) => experimentalAll || experimental.includes(rule.name))
      : !asked.some(({ skip, skipAll }) => skipAll || skip.includes(rule.name))
  }
}

/** Tells what instructions show by themselves. */
export function lintText(
  linter: Linter,
  { warnings, instructions }: Pick<ReadText, 'warnings' | 'instructions'>,
): void {
  for (const warning of warnings) linter.tell('read', warning, warning)
  for (const instruction of instructions) linter.tell('instruction', instruction, instruction)
}

/** Tells what a whole file shows before it is planned. */
export function lintFile(linter: Linter, file: Dockerfile): void {
  const { warnings, metaArgs, stages } = file
  const inStages = stages.flatMap(({ from, instructions }) => [from, ...instructions])
  lintText(linter, { warnings, instructions: [...metaArgs, ...inStages] })
  linter.tell('file', file, { range: { start: 1, end: file.lines.length } })
}
