import { isCairnError } from '../errors/error.ts'
import {
  ArgumentError,
  type Arguments,
  jsonOrWhole,
  jsonOrWords,
  kindAndCommand,
  pairs,
  quotedWordArguments,
  splitInstruction,
  whole,
  words,
} from './arguments.ts'
import type { Directive, InstructionNode } from './ast.ts'
import { isSpace, trimSpace, trimSpaceLeft } from './characters.ts'
import { DirectiveReader } from './directives.ts'
import type { DockerfileProblem } from './dockerfile-error.ts'
import { chompHeredoc, type HeredocOpening, heredocOpenings } from './heredoc.ts'
import type { Heredoc, IncludedFile, SourceRange, Warning } from './instruction.ts'
import { maxLineBytes, type SourceLines, splitSource } from './source-lines.ts'

/** What the lexer finds. With problems, `nodes` are the instructions that could be read. */
export interface LexedFile {
  readonly nodes: readonly InstructionNode[]
  readonly directives: readonly Directive[]
  readonly escape: '\\' | '`'
  readonly source: SourceLines
  readonly warnings: readonly Warning[]
  readonly problems: readonly DockerfileProblem[]
}

/** How a file that INCLUDE names is read. */
export interface Inclusion {
  /** As messages name it. */
  readonly filename: string
  /** Where the INCLUDE stands. */
  readonly includedAt: SourceRange
  /** The escape character of the Dockerfile, which holds for all it includes. */
  readonly escape: '\\' | '`'
}

/**
 * Cuts a Dockerfile, or a file that it includes, into instructions: directives, comments, continuations,
 * here-documents, flags and arguments. Never throws; what is wrong stands in `problems`, in the order of the file.
 */
export function lexDockerfile(source: Uint8Array | string, inclusion?: Inclusion): LexedFile {
  return new Lexer(source, inclusion).run()
}

/** How each instruction's text is cut into arguments. */
const argumentForms: Readonly<Record<string, (rest: string, escape: string) => Arguments>> = {
  ADD: jsonOrWords,
  ARG: quotedWordArguments,
  CMD: jsonOrWhole,
  COPY: jsonOrWords,
  ENTRYPOINT: jsonOrWhole,
  ENV: (rest, escape) => pairs(rest, 'ENV', escape),
  EXPOSE: words,
  FROM: words,
  HEALTHCHECK: kindAndCommand,
  INCLUDE: whole,
  LABEL: (rest, escape) => pairs(rest, 'LABEL', escape),
  MAINTAINER: whole,
  RUN: jsonOrWhole,
  SHELL: jsonOrWhole,
  STOPSIGNAL: whole,
  USER: whole,
  VOLUME: jsonOrWords,
  WORKDIR: whole,
}

function argumentForm(keyword: string): ((rest: string, escape: string) => Arguments) | undefined {
  const name = keyword.toUpperCase()
  return Object.hasOwn(argumentForms, name) ? argumentForms[name] : undefined
}

function isInstruction(keyword: string): boolean {
  return argumentForm(keyword) !== undefined || keyword.toUpperCase() === 'ONBUILD'
}

/** A here-document of a misspelt instruction is looked for this many lines down. */
const maxSkipped = 500

/** Instructions whose text may open here-documents. */
const takesHeredocs: ReadonlySet<string> = new Set(['ADD', 'COPY', 'RUN'])

type NodeBody = Pick<InstructionNode, 'keyword' | 'flags' | 'args' | 'json' | 'rest' | 'trigger'>

class Lexer {
  readonly #source: SourceLines
  readonly #nodes: InstructionNode[] = []
  readonly #directives: Directive[] = []
  readonly #warnings: Warning[] = []
  readonly #problems: DockerfileProblem[] = []
  readonly #reader = new DirectiveReader()
  readonly #inclusion: Inclusion | undefined
  readonly #file: IncludedFile | undefined
  #escape: '\\' | '`'
  /** Lines read so far, so also the number of the line read last. */
  #line = 0

  constructor(source: Uint8Array | string, inclusion: Inclusion | undefined) {
    this.#source = splitSource(source)
    this.#inclusion = inclusion
    this.#escape = inclusion?.escape ?? '\\'
    if (inclusion !== undefined) {
      const { filename, includedAt } = inclusion
      this.#file = { filename, source, lines: this.#source.lines, includedAt }
    }
  }

  run(): LexedFile {
    let comments: string[] = []
    while (this.#line < this.#source.lines.length) {
      const line = trimSpaceLeft(this.#takeLine())
      const isDirective = this.#readDirective(line)
      if (isComment(line)) {
        const comment = trimSpace(line.slice(1))
        if (comment === '') comments = []
        else if (!isDirective) comments.push(comment)
        continue
      }
      const start = this.#line
      const text = this.#joinContinuations(line)
      if (trimSpace(text) === '') continue
      this.#readInstruction(text, start, comments)
      comments = []
    }
    this.#checkLength()
    return {
      nodes: this.#nodes,
      directives: this.#directives,
      escape: this.#escape,
      source: this.#source,
      warnings: this.#warnings,
      problems: this.#problems.toSorted((a, b) => a.range.start - b.range.start),
    }
  }

  #range(start: number, end = start): SourceRange {
    return this.#file === undefined ? { start, end } : { start, end, file: this.#file }
  }

  #takeLine(): string {
    return this.#source.lines[this.#line++] ?? ''
  }

  #readDirective(line: string): boolean {
    if (this.#reader.done) return false
    const found = this.#reader.read(line)
    if (found === undefined) return false
    const range = this.#range(this.#line)
    if ('error' in found) {
      this.#problems.push({ message: found.error, range })
      return true
    }
    this.#directives.push(found)
    if (found.name === 'escape') {
      if (found.value !== '\\' && found.value !== '`') {
        const message = `invalid escape token '${found.value}' does not match \` or \\`
        this.#problems.push({ message, range })
      } else if (this.#inclusion !== undefined && this.#inclusion.escape !== found.value) {
        const message = `an included file has the escape character of the Dockerfile, which is ${this.#inclusion.escape}`
        this.#problems.push({ message, range })
      } else this.#escape = found.value
    }
    return true
  }

  /** The whole text of the instruction that begins in `first`; reads the lines it goes on in. */
  #joinContinuations(first: string): string {
    let piece = this.#withoutContinuation(first)
    if (piece === undefined) return first
    const pieces: string[] = []
    let sawEmpty = false
    while (piece !== undefined) {
      pieces.push(piece)
      let following: string | undefined
      while (following === undefined && this.#line < this.#source.lines.length) {
        const line = this.#takeLine()
        const isEmpty = trimSpaceLeft(line) === ''
        if (isEmpty) sawEmpty = true
        if (!isEmpty && !isComment(line)) following = line
      }
      if (following === undefined) break
      piece = this.#withoutContinuation(following)
      if (piece === undefined) pieces.push(following)
    }
    if (sawEmpty) {
      const range = this.#range(this.#line)
      this.#warnings.push({ rule: 'NoEmptyContinuation', detail: 'Empty continuation line', range })
    }
    return pieces.join('')
  }

  /**
   * `line` without the escape character it ends in, undefined where it does not go on. An escape character that
   * follows another one continues nothing, however many there are.
   */
  #withoutContinuation(line: string): string | undefined {
    let end = line.length
    while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--
    if (end === 0 || line[end - 1] !== this.#escape || line[end - 2] === this.#escape) return undefined
    return line.slice(0, end - 1)
  }

  #readInstruction(text: string, start: number, comments: readonly string[]): void {
    const split = this.#split(text, start)
    const isUnknown = split !== undefined && !isInstruction(split.keyword)
    const lastLine = this.#line
    if (isUnknown) this.#skipBodies(text)
    const heredocs: Heredoc[] = []
    for (const opening of this.#openings(text, split, start)) {
      const heredoc = this.#readHeredoc(opening)
      if (heredoc === undefined) {
        this.#problems.push({
          message: 'unterminated heredoc',
          range: this.#range(start),
          hint: `No line below consists of ${opening.name} alone.`,
        })
        return
      }
      heredocs.push(heredoc)
    }
    const range = this.#range(start, isUnknown ? lastLine : this.#line)
    if (split === undefined) return
    this.#checkEncoding(split.keyword, range, heredocs.length > 0)
    this.#nodes.push({ ...split, original: text, heredocs, range, comments })
  }

  #split(text: string, start: number): NodeBody | undefined {
    try {
      return splitNode(text, this.#escape, 0)
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error
      this.#problems.push({ message: error.message, range: this.#range(start, this.#line) })
      return undefined
    }
  }

  #openings(text: string, body: NodeBody | undefined, start: number): readonly HeredocOpening[] {
    const inner = body?.trigger ?? body
    if (inner === undefined || inner.json || !takesHeredocs.has(inner.keyword.toUpperCase())) return []
    try {
      return heredocOpenings(text)
    } catch (error) {
      if (!isCairnError(error, 'WORD_INVALID')) throw error
      this.#problems.push({ message: error.message, range: this.#range(start, this.#line) })
      return []
    }
  }

  /** Passes the here-documents of a misspelt instruction, where they are there: they bring no further problems. */
  #skipBodies(text: string): void {
    let openings: readonly HeredocOpening[]
    try {
      openings = heredocOpenings(text)
    } catch {
      return
    }
    const before = this.#line
    if (!openings.every((opening) => this.#readHeredoc(opening, maxSkipped) !== undefined)) this.#line = before
  }

  /** The body that begins in the next line, undefined where no line of the next `limit` ends it. */
  #readHeredoc(opening: HeredocOpening, limit = Number.POSITIVE_INFINITY): Heredoc | undefined {
    const first = this.#line
    const last = Math.min(this.#source.lines.length, first + limit)
    while (this.#line < last) {
      const line = this.#takeLine()
      if ((opening.chomp ? line.replace(/^\t+/, '') : line) !== opening.name) continue
      const raw = this.#source.raw.slice(first, this.#line - 1).join('')
      return { ...opening, content: opening.chomp ? chompHeredoc(raw) : raw, raw }
    }
    return undefined
  }

  /**
   * Bytes that are not UTF-8 cannot be carried into an image unchanged, so they are refused where they would matter.
   * Old files have names in Latin-1 in comments, MAINTAINER and LABEL; those only get a warning.
   */
  #checkEncoding(keyword: string, range: SourceRange, hasHeredocs: boolean): void {
    if (this.#source.invalid.size === 0) return
    for (let line = range.start; line <= range.end; line++) {
      if (!this.#source.invalid.has(line)) continue
      if (!hasHeredocs && isComment(this.#source.lines[line - 1] ?? '')) continue
      const message = 'the line is not valid UTF-8'
      const at = this.#range(line)
      if (/^(MAINTAINER|LABEL)$/i.test(keyword)) {
        this.#warnings.push({ rule: 'InvalidEncoding', detail: message, range: at })
      } else {
        this.#problems.push({ message, range: at, hint: 'Save the file in UTF-8.' })
      }
      return
    }
  }

  #checkLength(): void {
    const line = this.#source.overlong
    if (line === undefined) return
    const message = `dockerfile line greater than max allowed size of ${maxLineBytes}`
    this.#problems.push({ message, range: this.#range(line) })
  }
}

/** Only ONBUILD holds an instruction, and one in another is refused later: no need to go deeper. */
const maxNesting = 1

function splitNode(text: string, escape: string, nesting: number): NodeBody {
  const { keyword, flags, rest } = splitInstruction(text, escape)
  const name = keyword.toUpperCase()
  if (name === 'ONBUILD' && rest !== '') {
    if (nesting >= maxNesting) return { keyword, flags, args: [rest], json: false, rest }
    const trigger = splitNode(rest, escape, nesting + 1)
    const args = [trigger.keyword, ...trigger.args]
    const node = { ...trigger, original: rest, heredocs: [], range: { start: 1, end: 1 }, comments: [] }
    return { keyword, flags, args, json: false, rest, trigger: node }
  }
  const form = argumentForm(keyword)
  // An unknown instruction is reported by its name; what follows it is not looked at.
  const { args, json } = form === undefined ? { args: name === 'ONBUILD' ? [] : [''], json: false } : form(rest, escape)
  return { keyword, flags, args, json, rest }
}

function isComment(line: string): boolean {
  let start = 0
  while (start < line.length && isSpace(line.charAt(start))) start++
  return line.charAt(start) === '#'
}
