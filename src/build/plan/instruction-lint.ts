import type { Linter } from '../../dockerfile/lint/linter.ts'
import type { LintFacts, Place } from '../../dockerfile/lint/rule.ts'
import { type EnvLookup, expandHeredoc, expandWord, type WordOptions } from '../../dockerfile/words.ts'
import { builderOnlyArguments } from './platform-args.ts'
import type { StageState } from './stage-state.ts'

/** How planning one instruction of a stage tells the linter what comes to light. */
export interface InstructionLint {
  readonly place: Place
  readonly tell: <Fact extends keyof LintFacts>(fact: Fact, value: LintFacts[Fact]) => void
  /** The word with the stage's variables put in, the linter told of those that have no value. Throws WORD_INVALID. */
  readonly expand: (word: string) => string
  /** Likewise the body of an unquoted here-document. */
  readonly expandHeredoc: (content: string) => string
}

/**
 * What planning tells `linter`, if there is one, of the instruction at `place`. Where the base image's variables are not
 * known, neither is which have no value, and nothing is told of them.
 */
export function instructionLint(
  linter: Linter | undefined,
  state: StageState,
  words: WordOptions,
  place: Place,
  knowsVariables = true,
): InstructionLint {
  const tell: InstructionLint['tell'] = (fact, value) => linter?.tell(fact, value, place)
  const watched = (expand: (lookup: EnvLookup) => string): string => {
    const unset = new Set<string>()
    try {
      return expand((name) => {
        const value = state.env.get(name)
        if (value === undefined && !state.declares(name) && !builderOnlyArguments.has(name)) unset.add(name)
        return value
      })
    } finally {
      if (unset.size > 0 && knowsVariables) tell('variables', { unset, known: state.variableNames })
    }
  }
  return {
    place,
    tell,
    expand: (word) => watched((lookup) => expandWord(word, lookup, words)),
    expandHeredoc: (content) => watched((lookup) => expandHeredoc(content, lookup)),
  }
}
