import { TemplateSyntaxError } from './template-error.ts'

/** The lexer of Go's text/template (text/template/parse, lex.go), with its error texts. */
export type TokenKind =
  | 'text'
  | 'open' // {{
  | 'close' // }}
  | 'space'
  | 'field' // .Name
  | 'variable' // $name
  | 'identifier'
  | 'keyword'
  | 'dot'
  | 'nil'
  | 'bool'
  | 'number'
  | 'character' // 'a'
  | 'string'
  | 'rawString'
  | 'pipe'
  | 'declare' // :=
  | 'assign' // =
  | 'leftParen'
  | 'rightParen'
  | 'other' // any other printable ASCII character
  | 'error' // what follows cannot be read; the text says why
  | 'end'

export interface Token {
  readonly kind: TokenKind
  readonly text: string
  /** Offset in the template, in UTF-16 units. */
  readonly at: number
}

const keywords = new Set(['block', 'break', 'continue', 'define', 'else', 'end', 'if', 'range', 'template', 'with'])
const alphanumeric = /[\p{L}\p{Nd}_]/u
const printable = /^[\x21-\x7e]$/

/**
 * Cuts a template into tokens. What cannot be read is the last of them, an `error`, so that the parser tells of what is
 * wrong before it.
 */
export function lex(source: string): readonly Token[] {
  return new Lexer(source).run()
}

class Lexer {
  readonly #source: string
  readonly #tokens: Token[] = []
  #at = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  run(): readonly Token[] {
    try {
      this.#actions()
    } catch (error) {
      if (!(error instanceof TemplateSyntaxError)) throw error
      this.#tokens.push({ kind: 'error', text: error.message, at: error.at })
    }
    return this.#tokens
  }

  #actions(): void {
    let trimNext = false
    for (;;) {
      const open = this.#source.indexOf('{{', this.#at)
      const end = open < 0 ? this.#source.length : open
      const trimThis = open >= 0 && /^-\s/.test(this.#source.slice(open + 2, open + 4))
      this.#text(end, trimNext, trimThis)
      this.#at = end
      if (open < 0) break
      this.#at = open + 2 + (trimThis ? 2 : 0)
      trimNext = this.#action(open)
    }
    this.#tokens.push({ kind: 'end', text: '', at: this.#at })
  }

  #text(end: number, trimStart: boolean, trimEnd: boolean): void {
    const raw = this.#source.slice(this.#at, end)
    const left = trimStart ? raw.replace(/^[ \t\r\n]+/, '') : raw
    const at = this.#at + raw.length - left.length
    const text = trimEnd ? trimEndSpace(left) : left
    if (text !== '') this.#tokens.push({ kind: 'text', text, at })
  }

  /** Reads one action or comment; true when its end trims the text that follows. */
  #action(open: number): boolean {
    if (this.#source.startsWith('/*', this.#at)) return this.#comment()
    this.#tokens.push({ kind: 'open', text: '{{', at: open })
    this.#depth = 0
    for (;;) {
      const trim = this.#closing()
      if (trim !== undefined) {
        if (this.#depth > 0) throw this.#error('unclosed left paren')
        this.#emit('close', (trim ? 2 : 0) + 2)
        return trim
      }
      this.#token()
    }
  }

  #comment(): boolean {
    const end = this.#source.indexOf('*/', this.#at)
    if (end < 0) throw this.#error('unclosed comment')
    this.#at = end + 2
    const trim = this.#closing()
    if (trim === undefined) throw this.#error('comment ends before closing delimiter')
    this.#at += (trim ? 2 : 0) + 2
    return trim
  }

  /** Whether `}}` (false) or ` -}}` (true) comes next. */
  #closing(): boolean | undefined {
    if (this.#source.startsWith('}}', this.#at)) return false
    return /^\s-\}\}/.test(this.#source.slice(this.#at, this.#at + 4)) ? true : undefined
  }

  #token(): void {
    const character = this.#peek()
    if (character === '') throw this.#error('unclosed action')
    if (isSpace(character)) return this.#spaces()
    if (/[0-9+-]/.test(character)) return this.#number()
    if (alphanumeric.test(character)) return this.#word()
    switch (character) {
      case '=':
        return this.#emit('assign', 1)
      case ':':
        if (this.#source[this.#at + 1] !== '=') throw this.#error('expected :=')
        return this.#emit('declare', 2)
      case '|':
        return this.#emit('pipe', 1)
      case '"':
        return this.#quoted('string', '"', 'unterminated quoted string')
      case "'":
        return this.#quoted('character', "'", 'unterminated character constant')
      case '`': {
        const end = this.#source.indexOf('`', this.#at + 1)
        if (end < 0) throw this.#error('unterminated raw quoted string')
        return this.#emit('rawString', end + 1 - this.#at)
      }
      case '$':
        return this.#name('variable')
      case '.':
        if (this.#at + 1 === this.#source.length) return this.#emit('other', 1)
        return /\d/.test(this.#source[this.#at + 1] ?? '') ? this.#number() : this.#name('field')
      case '(':
        this.#depth++
        return this.#emit('leftParen', 1)
      case ')':
        if (--this.#depth < 0) throw this.#error('unexpected right paren')
        return this.#emit('rightParen', 1)
      default:
        if (!printable.test(character)) throw this.#error(`unrecognized character in action: ${codePoint(character)}`)
        return this.#emit('other', 1)
    }
  }

  #spaces(): void {
    let length = 0
    while (isSpace(this.#source[this.#at + length] ?? '')) {
      if (length > 0 && /^\s-\}\}/.test(this.#source.slice(this.#at + length, this.#at + length + 4))) break
      length++
    }
    this.#emit('space', length)
  }

  #word(): void {
    const length = this.#wordLength(this.#at)
    const word = this.#source.slice(this.#at, this.#at + length)
    this.#checkTerminator(length)
    if (keywords.has(word)) this.#emit('keyword', length)
    else if (word === 'nil') this.#emit('nil', length)
    else if (word === 'true' || word === 'false') this.#emit('bool', length)
    else this.#emit('identifier', length)
  }

  /** A field `.Name`, a variable `$name`, or the mark alone. */
  #name(kind: 'field' | 'variable'): void {
    const length = this.#wordLength(this.#at + 1) + 1
    if (length === 1 && kind === 'field') {
      this.#checkTerminator(1)
      return this.#emit('dot', 1)
    }
    this.#checkTerminator(length)
    this.#emit(kind, length)
  }

  #wordLength(from: number): number {
    let at = from
    for (;;) {
      const code = this.#source.codePointAt(at)
      if (code === undefined || !alphanumeric.test(String.fromCodePoint(code))) return at - from
      at += code > 0xffff ? 2 : 1
    }
  }

  #checkTerminator(length: number): void {
    const after = this.#at + length
    const character = this.#source.codePointAt(after)
    if (character === undefined) return
    const text = String.fromCodePoint(character)
    if (isSpace(text) || '.,|:)('.includes(text) || this.#source.startsWith('}}', after)) return
    this.#at = after
    throw this.#error(`bad character ${codePoint(text)}`)
  }

  #number(): void {
    const number =
      /[+-]?(?:0[xX][0-9a-fA-F_]*|0[bB][01_]*|0[oO][0-7_]*|(?:[0-9][0-9_]*)?(?:\.[0-9_]*)?)(?:[eEpP][+-]?[0-9_]+)?/y
    number.lastIndex = this.#at
    const length = number.exec(this.#source)?.[0].length ?? 0
    const next = this.#source.codePointAt(this.#at + length)
    const text = this.#source.slice(this.#at, this.#at + length)
    const after = next === undefined ? '' : String.fromCodePoint(next)
    if (alphanumeric.test(after)) throw this.#error(`bad number syntax: ${JSON.stringify(text + after)}`)
    if (!/\d/.test(text)) throw this.#error(`bad number syntax: ${JSON.stringify(text === '' ? this.#peek() : text)}`)
    this.#emit('number', length)
  }

  #quoted(kind: 'string' | 'character', mark: string, unterminated: string): void {
    for (let at = this.#at + 1; at < this.#source.length; at++) {
      const character = this.#source[at]
      if (character === '\\' && this.#source[at + 1] !== '\n' && at + 1 < this.#source.length) at++
      else if (character === '\n') break
      else if (character === mark) return this.#emit(kind, at + 1 - this.#at)
    }
    throw this.#error(unterminated)
  }

  #peek(): string {
    const code = this.#source.codePointAt(this.#at)
    return code === undefined ? '' : String.fromCodePoint(code)
  }

  #emit(kind: TokenKind, length: number): void {
    this.#tokens.push({ kind, text: this.#source.slice(this.#at, this.#at + length), at: this.#at })
    this.#at += length
  }

  #error(message: string): TemplateSyntaxError {
    return new TemplateSyntaxError(message, this.#at)
  }
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\t' || character === '\r' || character === '\n'
}

/** Without a regular expression, which would take quadratic time on long runs of spaces. */
function trimEndSpace(text: string): string {
  let end = text.length
  while (end > 0 && isSpace(text.charAt(end - 1))) end--
  return text.slice(0, end)
}

function codePoint(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return `U+${code} '${character}'`
}
