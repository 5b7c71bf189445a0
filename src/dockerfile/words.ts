import { CairnError } from '../errors/error.ts'
import { isSpace, quoteGo, shorten } from './characters.ts'
import { type MatchBudget, PatternCostError, PatternSyntaxError, ShellPattern } from './shell-pattern.ts'

/** The value of a variable, undefined where it is not set. */
export type EnvLookup = (name: string) => string | undefined

/** How a word is read. Everything is off unless given. */
export interface WordOptions {
  /** The escape character of the Dockerfile; `\` unless given. */
  readonly escape?: '\\' | '`'
  /** Keep quotes in the result (they still group). */
  readonly rawQuotes?: boolean
  /** Keep escape characters in the result (they still escape). */
  readonly rawEscapes?: boolean
  /** Quotes are ordinary characters, as in the body of a here-document. */
  readonly ignoreQuotes?: boolean
  /** Leave `$name` and `${name…}` as they are where the variable is not set. */
  readonly skipUnset?: boolean
}

/** A word after expansion, and what was looked up on the way. */
export interface ExpandedWord {
  readonly result: string
  /** The result split at unquoted space. */
  readonly words: readonly string[]
  /** Names that were looked up and set. */
  readonly matched: ReadonlySet<string>
  /** Names that were looked up and not set. */
  readonly unmatched: ReadonlySet<string>
}

/** `${a:-${b:-…}}` may go this deep. */
const maxDepth = 200
/** A result may have this many characters: `ENV A=$A$A` doubles with every line. */
const maxResult = 8 * 1024 * 1024
/** Comparisons that all patterns of one word may take together. */
const maxComparisons = 20_000_000

/**
 * `word` with quotes removed and variables replaced, in the way of a shell, but not split. Throws WORD_INVALID.
 * Dockerfile reference, "Environment replacement".
 */
export function expandWord(word: string, env: EnvLookup, options: WordOptions = {}): string {
  return expand(word, env, options, false).result
}

/** Like {@link expandWord}, then split at unquoted space; empty words are dropped. Throws WORD_INVALID. */
export function expandWords(word: string, env: EnvLookup, options: WordOptions = {}): readonly string[] {
  return expand(word, env, options, true).words
}

/** Like {@link expandWord} and {@link expandWords} at once, and with the names that were looked up. */
export function expandWordDetailed(word: string, env: EnvLookup, options: WordOptions = {}): ExpandedWord {
  return expand(word, env, options, true)
}

/**
 * The body of an unquoted here-document with its variables replaced: quotes stay, `\` escapes whatever the
 * Dockerfile's own escape character is. Throws WORD_INVALID.
 */
export function expandHeredoc(content: string, env: EnvLookup): string {
  return expand(content, env, { escape: '\\', ignoreQuotes: true }, false).result
}

function expand(word: string, env: EnvLookup, options: WordOptions, split: boolean): ExpandedWord {
  if (!mayNeedWork.test(word)) {
    return { result: word, words: split ? splitPlain(word) : [], matched: none, unmatched: none }
  }
  const expansion = new Expansion(word, env, options)
  try {
    return expansion.run(split)
  } catch (error) {
    if (!(error instanceof WordSyntaxError)) throw error
    throw new CairnError('WORD_INVALID', `failed to process ${quoteGo(shorten(word))}: ${error.message}`)
  }
}

const mayNeedWork = /[$<'"\\`]/
const none: ReadonlySet<string> = new Set()

function splitPlain(word: string): string[] {
  const words = new WordList()
  words.addText(word)
  return words.finish()
}

/** What is wrong with a word; `final` errors are not reworded by the expansion around them. */
class WordSyntaxError extends Error {
  readonly final: boolean

  constructor(message: string, final = false) {
    super(message)
    this.final = final
  }
}

/** Collects words while text arrives in pieces. */
class WordList {
  readonly #words: string[] = []
  #current = ''

  /** Text whose space separates words. */
  addText(text: string): void {
    let start = 0
    for (let index = 0; index < text.length; index++) {
      if (!isSpace(text.charAt(index))) continue
      this.#current += text.slice(start, index)
      this.#push()
      start = index + 1
    }
    this.#current += text.slice(start)
  }

  /** Text that was quoted or escaped: its space belongs to the word. */
  addRaw(text: string): void {
    this.#current += text
  }

  finish(): string[] {
    this.#push()
    return this.#words
  }

  #push(): void {
    if (this.#current !== '') this.#words.push(this.#current)
    this.#current = ''
  }
}

/** One pass over one word. */
class Expansion {
  readonly #text: string
  readonly #env: EnvLookup
  readonly #options: WordOptions
  readonly #escape: string
  readonly #matched = new Set<string>()
  readonly #unmatched = new Set<string>()
  readonly #budget: MatchBudget = { left: maxComparisons }
  #position = 0
  #depth = 0
  #rawEscapes: boolean

  constructor(text: string, env: EnvLookup, options: WordOptions) {
    this.#text = text
    this.#env = env
    this.#options = options
    this.#escape = options.escape ?? '\\'
    this.#rawEscapes = options.rawEscapes ?? false
  }

  run(split: boolean): ExpandedWord {
    const words = split ? new WordList() : undefined
    const result = this.#readUntil(undefined, this.#rawEscapes, words)
    return { result, words: words?.finish() ?? [], matched: this.#matched, unmatched: this.#unmatched }
  }

  /** Reads up to and over `stop`, or to the end where there is none. */
  #readUntil(stop: '}' | '/' | undefined, rawEscapes: boolean, words?: WordList): string {
    const outerRawEscapes = this.#rawEscapes
    this.#rawEscapes = rawEscapes
    if (++this.#depth > maxDepth) throw new WordSyntaxError(`substitutions are nested more than ${maxDepth} deep`, true)
    let result = ''
    while (this.#position < this.#text.length) {
      const char = this.#text.charAt(this.#position)
      if (char === stop) {
        this.#position++
        this.#depth--
        this.#rawEscapes = outerRawEscapes
        return result
      }
      result = this.#checked(result + this.#readPiece(char, stop, words))
    }
    if (stop !== undefined) {
      throw new WordSyntaxError(`unexpected end of statement while looking for matching ${stop}`)
    }
    this.#depth--
    return result
  }

  #readPiece(char: string, stop: string | undefined, words: WordList | undefined): string {
    if (char === '$') {
      const value = this.#readDollar()
      words?.addText(value)
      return value
    }
    let piece: string
    if (char === '<') piece = this.#readPossibleHeredoc()
    else if (char === "'" && this.#options.ignoreQuotes !== true) piece = this.#readSingleQuoted()
    else if (char === '"' && this.#options.ignoreQuotes !== true) piece = this.#readDoubleQuoted()
    else if (char === this.#escape) piece = this.#readEscaped()
    else {
      piece = this.#readPlain(stop)
      words?.addText(piece)
      return piece
    }
    words?.addRaw(piece)
    return piece
  }

  #readPlain(stop: string | undefined): string {
    const start = this.#position++
    while (this.#position < this.#text.length) {
      const char = this.#text.charAt(this.#position)
      if (char === '$' || char === '<' || char === "'" || char === '"' || char === this.#escape || char === stop) break
      this.#position++
    }
    return this.#text.slice(start, this.#position)
  }

  /** An escape character and what it escapes; at the end of the word it stands for nothing. */
  #readEscaped(): string {
    const kept = this.#rawEscapes ? this.#escape : ''
    this.#position++
    return kept + this.#next()
  }

  #readSingleQuoted(): string {
    const close = this.#text.indexOf("'", this.#position + 1)
    if (close < 0) {
      this.#position = this.#text.length
      throw new WordSyntaxError('unexpected end of statement while looking for matching single-quote')
    }
    const start = this.#position
    this.#position = close + 1
    return this.#options.rawQuotes === true ? this.#text.slice(start, close + 1) : this.#text.slice(start + 1, close)
  }

  #readDoubleQuoted(): string {
    const quote = this.#options.rawQuotes === true ? '"' : ''
    let result = quote
    this.#position++
    while (this.#position < this.#text.length) {
      const char = this.#text.charAt(this.#position)
      if (char === '"') {
        this.#position++
        return result + quote
      }
      if (char === '$') result = this.#checked(result + this.#readDollar())
      else if (char === this.#escape) result += this.#readEscapedInDoubleQuotes()
      else {
        const start = this.#position++
        while (this.#position < this.#text.length && !this.#endsQuotedRun(this.#text.charAt(this.#position))) {
          this.#position++
        }
        result += this.#text.slice(start, this.#position)
      }
    }
    throw new WordSyntaxError('unexpected end of statement while looking for matching double-quote')
  }

  #endsQuotedRun(char: string): boolean {
    return char === '"' || char === '$' || char === this.#escape
  }

  /** Within double quotes only `"`, `$` and the escape character can be escaped (POSIX XCU 2.2.3). */
  #readEscapedInDoubleQuotes(): string {
    const kept = this.#rawEscapes ? this.#escape : ''
    this.#position++
    const following = this.#text.charAt(this.#position)
    if (following === '') return kept
    return kept + (this.#endsQuotedRun(following) ? this.#next() : this.#escape)
  }

  /** `<<` and `<<-` keep the space after them, so that `<< EOF` stays one word. */
  #readPossibleHeredoc(): string {
    const start = this.#position++
    if (this.#text.charAt(this.#position) !== '<') return '<'
    this.#position++
    if (this.#text.charAt(this.#position) === '-') this.#position++
    while (/[\t\r ]/.test(this.#text.charAt(this.#position))) this.#position++
    return this.#text.slice(start, this.#position)
  }

  #readDollar(): string {
    this.#position++
    if (this.#text.charAt(this.#position) !== '{') {
      const name = this.#readName()
      if (name === '') return '$'
      const value = this.#lookUp(name)
      return value ?? (this.#options.skipUnset === true ? `$${name}` : '')
    }
    this.#position++
    const first = this.#text.charAt(this.#position)
    if (first === '') throw missingBrace()
    if (first === '{' || first === '}' || first === ':') throw new WordSyntaxError('syntax error: bad substitution')
    return this.#readBraced(this.#readName())
  }

  #readBraced(name: string): string {
    const operator = this.#next()
    switch (operator) {
      case '':
        throw missingBrace()
      case '}': {
        const value = this.#lookUp(name)
        return value ?? (this.#options.skipUnset === true ? `\${${name}}` : '')
      }
      case ':':
        return this.#readColon(name)
      case '-':
      case '+':
      case '?':
        return this.#substitute(name, operator, false)
      case '#':
      case '%':
        return this.#trim(name, operator)
      case '/':
        return this.#replace(name)
      default:
        throw unsupported(operator)
    }
  }

  /** `:-`, `:+` and `:?`; any other operator passes only where the variable is to be left alone. */
  #readColon(name: string): string {
    const operator = this.#next()
    if (operator === '-' || operator === '+' || operator === '?') return this.#substitute(name, operator, true)
    if (operator === '') throw missingBrace()
    if (operator === '#' || operator === '%' || this.#options.skipUnset !== true) throw unsupported(`:${operator}`)
    const word = this.#readOperand('}', false, missingBrace)
    if (this.#lookUp(name) !== undefined) throw unsupported(`:${operator}`)
    return `\${${name}:${operator}${word}}`
  }

  #substitute(name: string, operator: '-' | '+' | '?', emptyIsUnset: boolean): string {
    const word = this.#readOperand('}', false, missingBrace)
    const value = this.#lookUp(name)
    if (value === undefined && this.#options.skipUnset === true) {
      return `\${${name}${emptyIsUnset ? ':' : ''}${operator}${word}}`
    }
    const usable = value !== undefined && !(emptyIsUnset && value === '')
    if (operator === '+') return usable ? word : ''
    if (usable) return value
    if (operator === '-') return word
    const complaint = `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`
    throw new WordSyntaxError(`${name}: ${word === '' ? complaint : word}`)
  }

  #trim(name: string, operator: '#' | '%'): string {
    const longest = this.#text.charAt(this.#position) === operator
    if (longest) this.#position++
    const pattern = this.#readOperand('}', true, missingBrace)
    const value = this.#lookUp(name)
    if (value === undefined && this.#options.skipUnset === true) {
      return `\${${name}${operator}${longest ? operator : ''}${pattern}}`
    }
    return this.#match(pattern, (compiled) =>
      operator === '#' ? compiled.removePrefix(value ?? '', longest) : compiled.removeSuffix(value ?? '', longest),
    )
  }

  #replace(name: string): string {
    const all = this.#text.charAt(this.#position) === '/'
    if (all) this.#position++
    const pattern = this.#readOperand('/', true, () => new WordSyntaxError("syntax error: missing '/' in ${}"))
    const replacement = this.#readOperand('}', true, missingBrace)
    const value = this.#lookUp(name)
    if (value === undefined && this.#options.skipUnset === true) {
      return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`
    }
    if (all && (value ?? '').length * (replacement.length + 1) > maxResult) {
      // Only worth the exact answer when it may be too long.
      return this.#checked(
        this.#match(pattern, (compiled) => this.#replaceWithinLimit(compiled, value ?? '', replacement)),
      )
    }
    return this.#match(pattern, (compiled) => compiled.replace(value ?? '', replacement, all))
  }

  /** Counts the matches with a one-character stand-in before the real text is built. */
  #replaceWithinLimit(compiled: ShellPattern, value: string, replacement: string): string {
    const withNothing = compiled.replace(value, '', true).length
    const matches = compiled.replace(value, 'x', true).length - withNothing
    if (withNothing + matches * replacement.length > maxResult) throw tooLong()
    return compiled.replace(value, replacement, true)
  }

  #match(pattern: string, use: (compiled: ShellPattern) => string): string {
    try {
      return use(new ShellPattern(pattern, this.#budget))
    } catch (error) {
      if (error instanceof PatternCostError) {
        throw new WordSyntaxError(`pattern (${shorten(pattern, 60)}) takes too long to match`, true)
      }
      if (!(error instanceof PatternSyntaxError)) throw error
      throw new WordSyntaxError(`invalid pattern (${shorten(pattern, 60)}) in substitution: ${error.message}`)
    }
  }

  #readOperand(stop: '}' | '/', rawEscapes: boolean, missing: () => WordSyntaxError): string {
    try {
      return this.#readUntil(stop, rawEscapes)
    } catch (error) {
      if (!(error instanceof WordSyntaxError) || error.final || this.#position < this.#text.length) throw error
      throw missing()
    }
  }

  /** A name, a run of digits, one special parameter (POSIX XCU 2.5.2), or nothing. */
  #readName(): string {
    const start = this.#position
    const first = this.#peek()
    if (isDigit(first)) {
      while (isDigit(this.#peek())) this.#next()
    } else if (first !== '' && '@*#?-$!'.includes(first)) {
      this.#next()
    } else {
      while (isNamePart(this.#peek())) this.#next()
    }
    return this.#text.slice(start, this.#position)
  }

  #lookUp(name: string): string | undefined {
    const value = this.#env(name)
    if (value === undefined) this.#unmatched.add(name)
    else this.#matched.add(name)
    return value
  }

  #checked(text: string): string {
    if (text.length > maxResult) throw tooLong()
    return text
  }

  #peek(): string {
    const point = this.#text.codePointAt(this.#position)
    return point === undefined ? '' : String.fromCodePoint(point)
  }

  #next(): string {
    const char = this.#peek()
    this.#position += char.length
    return char
  }
}

function missingBrace(): WordSyntaxError {
  return new WordSyntaxError("syntax error: missing '}'")
}

function unsupported(modifier: string): WordSyntaxError {
  return new WordSyntaxError(`unsupported modifier (${modifier}) in substitution`)
}

function tooLong(): WordSyntaxError {
  return new WordSyntaxError(`the result has more than ${maxResult} characters`, true)
}

function isDigit(char: string): boolean {
  if (char === '') return false
  return char < '\u0080' ? char >= '0' && char <= '9' : /^\p{Nd}$/u.test(char)
}

function isNamePart(char: string): boolean {
  if (char === '') return false
  if (char < '\u0080') return /^\w$/.test(char)
  return /^[\p{L}\p{Nd}]$/u.test(char)
}
