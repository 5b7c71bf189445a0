import { CairnError } from '../errors/error.ts'
import { quoteGo, shorten, trimSpace } from './characters.ts'
import { IgnorePattern } from './ignore-pattern.ts'
import { cleanPath } from './path-match.ts'
import { maxLineBytes, splitSource } from './source-lines.ts'

/** What a directory's match says about what is in it; made by {@link IgnoreMatcher.matchesWithParent} only. */
export interface ParentMatch {
  /** The path itself is excluded. */
  readonly matched: boolean
  /** Per pattern, whether it matched the path or a directory above it. */
  readonly patterns: readonly boolean[]
}

interface Rule {
  readonly pattern: IgnorePattern
  /** Written with `!`: what it matches is included again. */
  readonly exception: boolean
}

/** Where a pattern came from, for messages. */
interface Origin {
  readonly filename: string
  /** The line of each pattern, from 1. */
  readonly lines: readonly number[]
}

/**
 * The patterns of an ignore file: comments and blank lines dropped, spaces trimmed, paths cleaned and made relative.
 * They are not checked here; {@link IgnoreMatcher} does. Throws IGNORE_INVALID for a line of more than 64 KiB.
 */
export function parseIgnoreFile(source: Uint8Array | string, filename = '.dockerignore'): string[] {
  return readPatterns(source, filename).patterns
}

function readPatterns(source: Uint8Array | string, filename: string): { patterns: string[]; lines: number[] } {
  const { lines: texts, overlong } = splitSource(source)
  if (overlong !== undefined) {
    throw new CairnError('IGNORE_INVALID', `${filename}:${overlong}: line greater than ${maxLineBytes} bytes`)
  }
  const patterns: string[] = []
  const lines: number[] = []
  for (const [index, text] of texts.entries()) {
    if (text.startsWith('#')) continue
    const trimmed = trimSpace(text)
    if (trimmed === '') continue
    const exception = trimmed.startsWith('!')
    patterns.push((exception ? '!' : '') + relative(exception ? trimSpace(trimmed.slice(1)) : trimmed))
    lines.push(index + 1)
  }
  return { patterns, lines }
}

function relative(path: string): string {
  if (path === '') return ''
  const clean = cleanPath(path)
  return clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean
}

/**
 * Says which paths a list of ignore patterns excludes, exactly as moby's patternmatcher does (MatchesOrParentMatches):
 * a pattern also covers what lies below a directory it matches, and the last pattern that matches decides. Paths are
 * relative to the context's root and have `/` between their parts.
 */
export class IgnoreMatcher {
  readonly #rules: readonly Rule[]
  /** What it was made of. */
  readonly patterns: readonly string[]
  /** Some pattern begins with `!`, so an excluded directory may hold included files. */
  readonly hasExceptions: boolean
  /** Some pattern excludes everything that stands at the root: `*`, `**`, or that below any directory. */
  readonly excludesRootEntries: boolean

  /** Throws IGNORE_INVALID for a malformed pattern; with `origin`, it says where that stands. */
  constructor(patterns: readonly string[], origin?: Origin) {
    const rules: Rule[] = []
    let excludesRootEntries = false
    for (const [index, text] of patterns.entries()) {
      const trimmed = trimSpace(text)
      if (trimmed === '') continue
      const clean = cleanPath(trimmed)
      const exception = clean.startsWith('!')
      if (clean === '!') throw malformed('illegal exclusion pattern: "!"', origin, index)
      const pattern = IgnorePattern.parse(exception ? clean.slice(1) : clean)
      if (pattern === undefined) {
        throw malformed(`syntax error in pattern ${quoteGo(shorten(trimmed))}`, origin, index)
      }
      rules.push({ pattern, exception })
      if (clean === '*' || clean === '**' || clean === '**/*') excludesRootEntries = true
    }
    this.#rules = rules
    this.patterns = patterns
    this.excludesRootEntries = excludesRootEntries
    this.hasExceptions = rules.some((rule) => rule.exception)
  }

  /** The matcher of an ignore file's content. Throws IGNORE_INVALID with `filename` and the line. */
  static fromFile(source: Uint8Array | string, filename = '.dockerignore'): IgnoreMatcher {
    const { patterns, lines } = readPatterns(source, filename)
    return new IgnoreMatcher(patterns, { filename, lines })
  }

  /** True when `path` is excluded. */
  matches(path: string): boolean {
    return this.matchesWithParent(path).matched
  }

  /**
   * Like {@link matches} with what was found for the directory that holds `path`, which spares matching every
   * directory above it again; moby's MatchesUsingParentResults, with which docker walks a context. Without `parent`
   * all directories above are looked at. As there, an exception that matches a directory while nothing excludes it is
   * not remembered for what lies below it: after `*.md` below any directory and `!docs`, a walk excludes docs/a.md.
   */
  matchesWithParent(path: string, parent?: ParentMatch): ParentMatch {
    const above = parent === undefined ? directoryOf(path) : undefined
    let matched = false
    const patterns = this.#rules.map(({ pattern, exception }, index) => {
      let hit = parent?.patterns[index] ?? false
      if (!hit) {
        // It could not change anything: excluded already, or an exception from nothing.
        if (exception !== matched) return false
        hit = pattern.matches(path) || (above !== undefined && pattern.matchesAtOrAbove(above))
      }
      if (hit) matched = !exception
      return hit
    })
    return { matched, patterns }
  }

  /** Whether {@link matchesWithParent} finds `path` excluded, for paths that nothing is below: no more is found out. */
  excludesBelow(parent: ParentMatch, path: string): boolean {
    let matched = false
    for (const [index, { pattern, exception }] of this.#rules.entries())
      if (parent.patterns[index] === true || (exception === matched && pattern.matches(path))) matched = !exception
    return matched
  }

  /**
   * True when a walk need not enter `directory`, whose own result is `match`: it is excluded, and so is everything
   * below it, whatever it holds.
   */
  canSkipDirectory(directory: string, match: ParentMatch): boolean {
    if (!match.matched) return false
    // What an exclusion that covers the whole directory comes after cannot include anything in it again.
    const covering = this.#rules.findLastIndex((rule, index) => !rule.exception && match.patterns[index] === true)
    return !this.#rules.some(
      (rule, index) => index > covering && rule.exception && rule.pattern.mayMatchBelow(directory),
    )
  }
}

/** The directory that holds `path`; undefined where it stands at the root. */
function directoryOf(path: string): string | undefined {
  const parent = cleanPath(path.slice(0, path.lastIndexOf('/') + 1))
  return parent === '.' ? undefined : parent
}

function malformed(message: string, origin: Origin | undefined, index: number): CairnError {
  const line = origin?.lines[index]
  const place = origin === undefined ? '' : `${origin.filename}${line === undefined ? '' : `:${line}`}: `
  return new CairnError('IGNORE_INVALID', place + message)
}
