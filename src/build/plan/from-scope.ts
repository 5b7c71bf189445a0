import { CairnError, isCairnError } from '../../errors/error.ts'
import type { Dockerfile, FromInstruction } from '../../dockerfile/instruction.ts'
import type { Linter } from '../../dockerfile/lint/linter.ts'
import { suggest } from '../../dockerfile/suggest.ts'
import { type ExpandedWord, expandWord, expandWordDetailed, type WordOptions } from '../../dockerfile/words.ts'
import { parsePlatform, type Platform } from '../../oci/platform.ts'
import { ProblemList } from '../step-error.ts'

/** What FROM instructions know: the ARGs before the first of them. */
export interface FromScope {
  /** Those that have a value, platform arguments among them. */
  readonly globalArgs: ReadonlyMap<string, string>
  /** Every name, of ARGs without a value too. */
  readonly known: ReadonlySet<string>
  readonly words: WordOptions
  readonly linter: Linter | undefined
}

/** The values of the ARGs before the first FROM and of `platformArgs`. What is wrong with them joins `problems`. */
export function evaluateGlobalArgs(
  dockerfile: Dockerfile,
  buildArgs: ReadonlyMap<string, string>,
  platformArgs: ReadonlyMap<string, string>,
  words: WordOptions,
  problems: ProblemList,
): Map<string, string> {
  const values = new Map(platformArgs)
  for (const instruction of dockerfile.metaArgs) {
    for (const { key, value: fallback } of instruction.args) {
      let value = buildArgs.get(key)
      if (value === undefined && fallback !== undefined)
        value = problems.collect(instruction.range, () => expandWord(fallback, (name) => values.get(name), words))
      // An ARG without a value is still declared: it hides no platform argument but is known in stages.
      if (value !== undefined) values.set(key, value)
    }
  }
  return values
}

/** Tells the linter what each FROM names when the ARGs before the first one have only their defaults. */
export function tellDefaultBases(
  dockerfile: Dockerfile,
  platformArgs: ReadonlyMap<string, string>,
  words: WordOptions,
  linter: Linter,
): void {
  try {
    const problems = new ProblemList(dockerfile)
    const values = evaluateGlobalArgs(dockerfile, new Map(), platformArgs, words, problems)
    problems.throwIfAny()
    for (const { from } of dockerfile.stages) {
      const expanded = expandWord(from.image, (name) => values.get(name), words)
      linter.tell('defaultBase', { written: from.image, expanded }, from)
    }
  } catch (error) {
    // A default that cannot be expanded is an error of the plan, unless a --build-arg makes it good.
    if (!isCairnError(error)) throw error
  }
}

/** A FROM with its variables put in. */
export interface ExpandedFrom {
  readonly baseName: string
  readonly platform: Platform | undefined
  /** The variables that it uses. */
  readonly used: ReadonlySet<string>
}

/** Expands a FROM and tells the linter of its variables. Throws DOCKERFILE_INVALID, PLATFORM_INVALID, WORD_INVALID. */
export function expandFrom(from: FromInstruction, scope: FromScope): ExpandedFrom {
  const { words, globalArgs, known, linter } = scope
  const expand = (word: string): ExpandedWord => {
    const expanded = expandWordDetailed(word, (name) => globalArgs.get(name), words)
    if (expanded.unmatched.size > 0) linter?.tell('fromVariables', { unset: expanded.unmatched, known }, from)
    return expanded
  }
  const image = expand(from.image)
  if (image.result === '') throw new CairnError('DOCKERFILE_INVALID', `base name (${from.image}) should not be blank`)
  if (from.platform === undefined) return { baseName: image.result, platform: undefined, used: image.matched }
  const { platform: written, name: stageName } = from
  const expanded = expand(written)
  linter?.tell('fromPlatform', { written, expanded, stageName, target: globalArgs.get('TARGETPLATFORM') }, from)
  const used = new Set([...image.matched, ...expanded.matched])
  return { baseName: image.result, platform: platformOf(written, expanded, globalArgs), used }
}

function platformOf(written: string, expanded: ExpandedWord, globalArgs: ReadonlyMap<string, string>): Platform {
  const { result, unmatched } = expanded
  const match = [...unmatched].map((name) => suggest(name, globalArgs.keys(), true)).find((name) => name !== undefined)
  const didYouMean = match === undefined ? '' : ` (did you mean ${match}?)`
  if (result === '')
    throw new CairnError('DOCKERFILE_INVALID', `empty platform value from expression ${written}${didYouMean}`)
  try {
    return parsePlatform(result)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError('PLATFORM_INVALID', `failed to parse platform ${written}: ${error.message}${didYouMean}`, {
      cause: error,
      hint: error.hint,
    })
  }
}
