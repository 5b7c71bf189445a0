import type { Heredoc, SourceRange } from './instruction.ts'

/** One instruction as the lexer leaves it: cut into words, nothing checked against what the instruction takes. */
export interface InstructionNode {
  /** The first word as written; it may be no instruction at all. */
  readonly keyword: string
  /** Continuations joined, comments gone, heredoc bodies left out. */
  readonly original: string
  /** `--x` and `--x=v` before the arguments, quotes and escapes resolved. */
  readonly flags: readonly string[]
  /** Arguments. ENV and LABEL have three for each pair: key, value, and `=` or nothing. */
  readonly args: readonly string[]
  /** The arguments were a JSON list. */
  readonly json: boolean
  /** What follows the flags, before it was cut into words. */
  readonly rest: string
  /** The instruction within ONBUILD. */
  readonly trigger?: InstructionNode
  readonly heredocs: readonly Heredoc[]
  readonly range: SourceRange
  /** The comment lines directly above, without `#`. */
  readonly comments: readonly string[]
}

/** A parser directive. Dockerfile reference, "Parser directives". */
export interface Directive {
  /** Lower-cased. */
  readonly name: 'syntax' | 'escape' | 'check'
  readonly value: string
  /** The line it stands in, from 1. */
  readonly line: number
}
