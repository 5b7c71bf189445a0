import { quote } from './go-format.ts'
import { TemplateSyntaxError } from './template-error.ts'
import { lex, type Token } from './template-lexer.ts'

/** The syntax tree of Go's text/template and its parser (text/template/parse, parse.go), with its error texts. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipeline }
  | {
      readonly kind: 'if' | 'with' | 'range'
      readonly pipe: Pipeline
      readonly body: readonly Node[]
      readonly otherwise: readonly Node[]
    }
  | { readonly kind: 'template'; readonly at: number; readonly name: string; readonly pipe: Pipeline | undefined }
  | { readonly kind: 'break' | 'continue' }

export interface Pipeline {
  readonly at: number
  /** Variables the result goes to, without `$`. */
  readonly variables: readonly string[]
  /** `=`, not `:=`. */
  readonly assigns: boolean
  readonly commands: readonly CommandNode[]
}

export interface CommandNode {
  readonly at: number
  readonly operands: readonly [Operand, ...Operand[]]
}

export type Operand =
  | { readonly kind: 'dot' | 'nil'; readonly at: number }
  | { readonly kind: 'constant'; readonly at: number; readonly value: string | number | boolean; readonly text: string }
  | { readonly kind: 'field'; readonly at: number; readonly names: readonly string[] }
  | { readonly kind: 'variable'; readonly at: number; readonly name: string; readonly names: readonly string[] }
  | { readonly kind: 'function'; readonly at: number; readonly name: string }
  | { readonly kind: 'pipeline'; readonly at: number; readonly pipe: Pipeline }
  | { readonly kind: 'chain'; readonly at: number; readonly of: Operand; readonly names: readonly string[] }

/** Templates by name; the one that was asked for is under the name given to {@link parseTemplate}. */
export type TemplateSet = ReadonlyMap<string, readonly Node[]>

/** The end of a list of nodes. */
type ListEnd = { readonly kind: 'end' | 'else'; readonly at: number }

const maximumDepth = 200

/**
 * Parses a template and those it defines. `functions` are the names it may call. Throws TemplateSyntaxError; nesting
 * deeper than 200 is an error too.
 */
export function parseTemplate(source: string, name: string, functions: ReadonlySet<string>): TemplateSet {
  return new Parser(lex(source), functions).run(name)
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #functions: ReadonlySet<string>
  readonly #templates = new Map<string, readonly Node[]>()
  #at = 0
  #variables = ['']
  #depth = 0
  #ranges = 0

  constructor(tokens: readonly Token[], functions: ReadonlySet<string>) {
    this.#tokens = tokens
    this.#functions = functions
  }

  run(name: string): TemplateSet {
    const nodes: Node[] = []
    while (this.#peek().kind !== 'end') {
      const node = this.#textOrAction(true)
      if (node === undefined) continue
      if (isListEnd(node)) throw this.#error(`unexpected {{${node.kind}}}`, node.at)
      nodes.push(node)
    }
    this.#templates.set(name, nodes)
    return this.#templates
  }

  #peek(): Token {
    const token = this.#tokens[this.#at] ?? { kind: 'end', text: '', at: 0 }
    if (token.kind === 'error') throw new TemplateSyntaxError(token.text, token.at)
    return token
  }

  #next(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#at++
    return token
  }

  #peekNonSpace(): Token {
    while (this.#peek().kind === 'space') this.#at++
    return this.#peek()
  }

  #nextNonSpace(): Token {
    this.#peekNonSpace()
    return this.#next()
  }

  #error(message: string, at = this.#peek().at): TemplateSyntaxError {
    return new TemplateSyntaxError(message, at)
  }

  #unexpected(token: Token, context: string): TemplateSyntaxError {
    return this.#error(`unexpected ${describeToken(token)} in ${context}`, token.at)
  }

  #expect(kind: Token['kind'], context: string): Token {
    const token = this.#nextNonSpace()
    if (token.kind !== kind) throw this.#unexpected(token, context)
    return token
  }

  #nested<Result>(parse: () => Result): Result {
    if (++this.#depth > maximumDepth) throw this.#error('template nests too deeply')
    try {
      return parse()
    } finally {
      this.#depth--
    }
  }

  /** Nothing for a definition, which only adds to the set. */
  #textOrAction(topLevel: boolean): Node | ListEnd | undefined {
    const token = this.#next()
    if (token.kind === 'text') return { kind: 'text', text: token.text }
    if (token.kind === 'end') throw this.#error('unexpected EOF')
    const word = this.#peekNonSpace()
    if (word.kind !== 'keyword') return { kind: 'action', pipe: this.#pipeline('command', 'close') }
    this.#next()
    switch (word.text) {
      case 'define':
        if (!topLevel) throw this.#unexpected(word, 'command')
        return this.#definition()
      case 'block':
        return this.#block()
      case 'break':
      case 'continue':
        this.#expect('close', `{{${word.text}}}`)
        if (this.#ranges === 0) throw this.#error(`{{${word.text}}} outside {{range}}`, word.at)
        return { kind: word.text }
      case 'if':
      case 'with':
      case 'range':
        return this.#control(word.text)
      case 'template':
        return this.#template()
      case 'else': {
        const chained = this.#peekNonSpace()
        if (chained.kind !== 'keyword' || (chained.text !== 'if' && chained.text !== 'with'))
          this.#expect('close', 'else')
        return { kind: 'else', at: word.at }
      }
      default:
        this.#expect('close', 'end')
        return { kind: 'end', at: word.at }
    }
  }

  /** Nodes up to `{{end}}` or `{{else}}`. */
  #list(): readonly [readonly Node[], ListEnd] {
    const nodes: Node[] = []
    for (;;) {
      const node = this.#textOrAction(false)
      if (node === undefined) continue
      if (isListEnd(node)) return [nodes, node]
      nodes.push(node)
    }
  }

  #control(kind: 'if' | 'with' | 'range'): Node {
    return this.#nested(() => {
      const known = this.#variables.length
      const pipe = this.#pipeline(kind, 'close')
      if (kind === 'range') this.#ranges++
      const [body, ended] = this.#list()
      if (kind === 'range') this.#ranges--
      const otherwise = ended.kind === 'else' ? this.#otherwise(kind) : []
      this.#variables.length = known
      return { kind, pipe, body, otherwise }
    })
  }

  #otherwise(kind: 'if' | 'with' | 'range'): readonly Node[] {
    const chained = this.#peek()
    if (chained.kind === 'keyword') {
      // One {{end}} ends the whole chain: the inner one reads it.
      if (chained.text !== kind) throw this.#unexpected(chained, 'input')
      this.#next()
      return [this.#control(kind)]
    }
    const [nodes, ended] = this.#list()
    if (ended.kind !== 'end') throw this.#error(`expected end; found {{${ended.kind}}}`, ended.at)
    return nodes
  }

  #definition(): undefined {
    const name = this.#templateName('define clause')
    this.#expect('close', 'define clause')
    this.#body(name, 'define clause')
  }

  #block(): Node {
    const { at } = this.#peekNonSpace()
    const name = this.#templateName('block clause')
    const pipe = this.#pipeline('block clause', 'close')
    this.#body(name, 'block clause')
    return { kind: 'template', at, name, pipe }
  }

  #template(): Node {
    const { at } = this.#peekNonSpace()
    const name = this.#templateName('template clause')
    if (this.#peekNonSpace().kind === 'close') {
      this.#next()
      return { kind: 'template', at, name, pipe: undefined }
    }
    return { kind: 'template', at, name, pipe: this.#pipeline('template clause', 'close') }
  }

  #templateName(context: string): string {
    const token = this.#nextNonSpace()
    if (token.kind !== 'string' && token.kind !== 'rawString') throw this.#unexpected(token, context)
    return unquote(token)
  }

  /** The body of a definition: a template of its own, which sees no variable but `$`. */
  #body(name: string, context: string): void {
    this.#nested(() => {
      const [variables, ranges] = [this.#variables, this.#ranges]
      this.#variables = ['']
      this.#ranges = 0
      const [nodes, ended] = this.#list()
      if (ended.kind !== 'end') throw this.#error(`unexpected {{${ended.kind}}} in ${context}`, ended.at)
      this.#variables = variables
      this.#ranges = ranges
      const before = this.#templates.get(name)
      if (before === undefined || isBlank(before)) this.#templates.set(name, nodes)
      else if (!isBlank(nodes)) throw this.#error(`template: multiple definition of template ${quote(name)}`, ended.at)
    })
  }

  #pipeline(context: string, end: 'close' | 'rightParen'): Pipeline {
    return this.#nested(() => {
      const { at } = this.#peekNonSpace()
      const { variables, assigns } = this.#declarations(context)
      const commands: CommandNode[] = []
      for (;;) {
        const token = this.#peekNonSpace()
        if (token.kind === end) {
          this.#next()
          checkPipeline(commands, context, token.at)
          return { at, variables, assigns, commands }
        }
        if (!startsOperand.has(token.kind)) throw this.#unexpected(token, context)
        commands.push(this.#command())
      }
    })
  }

  /** `$x :=`, `$x =`, and in a range `$i, $x :=`. */
  #declarations(context: string): { readonly variables: readonly string[]; readonly assigns: boolean } {
    const variables: string[] = []
    for (;;) {
      const back = this.#at
      const variable = this.#peekNonSpace()
      if (variable.kind !== 'variable') break
      this.#next()
      const mark = this.#peekNonSpace()
      const isComma = mark.kind === 'other' && mark.text === ','
      if (mark.kind !== 'declare' && mark.kind !== 'assign' && !isComma) {
        this.#at = back
        break
      }
      this.#next()
      const name = variable.text.slice(1)
      variables.push(name)
      if (!isComma) {
        if (mark.kind === 'assign') for (const one of variables) this.#checkVariable(one, variable.at)
        else this.#variables.push(...variables)
        return { variables, assigns: mark.kind === 'assign' }
      }
      if (context !== 'range' || variables.length > 1) throw this.#error(`too many declarations in ${context}`, mark.at)
      if (this.#peekNonSpace().kind !== 'variable') throw this.#error('range can only initialize variables', mark.at)
    }
    if (variables.length > 0) throw this.#error('range can only initialize variables')
    return { variables, assigns: false }
  }

  #command(): CommandNode {
    const { at } = this.#peekNonSpace()
    const operands: Operand[] = []
    for (;;) {
      this.#peekNonSpace()
      const operand = this.#operand()
      if (operand !== undefined) operands.push(operand)
      const token = this.#next()
      if (token.kind === 'space') continue
      if (token.kind === 'close' || token.kind === 'rightParen') this.#at--
      else if (token.kind !== 'pipe') throw this.#unexpected(token, 'operand')
      break
    }
    const [first, ...rest] = operands
    if (first === undefined) throw this.#error('empty command', at)
    return { at, operands: [first, ...rest] }
  }

  #operand(): Operand | undefined {
    const term = this.#term()
    const { at, kind } = this.#peek()
    if (term === undefined || kind !== 'field') return term
    const names: string[] = []
    while (this.#peek().kind === 'field') names.push(this.#next().text.slice(1))
    switch (term.kind) {
      case 'field':
        return { kind: 'field', at, names: [...term.names, ...names] }
      case 'variable':
        return { ...term, at, names: [...term.names, ...names] }
      case 'constant':
      case 'nil':
      case 'dot':
        throw this.#error(`unexpected . after term ${quote(describeOperand(term))}`, at)
      default:
        return { kind: 'chain', at, of: term, names }
    }
  }

  #term(): Operand | undefined {
    const token = this.#peekNonSpace()
    const { at, text } = token
    if (!startsOperand.has(token.kind)) return undefined
    this.#next()
    switch (token.kind) {
      case 'identifier':
        if (!this.#functions.has(text)) throw this.#error(`function ${quote(text)} not defined`, at)
        return { kind: 'function', at, name: text }
      case 'variable':
        this.#checkVariable(text.slice(1), at)
        return { kind: 'variable', at, name: text.slice(1), names: [] }
      case 'field':
        return { kind: 'field', at, names: [text.slice(1)] }
      case 'leftParen':
        return { kind: 'pipeline', at, pipe: this.#pipeline('parenthesized pipeline', 'rightParen') }
      case 'dot':
      case 'nil':
        return { kind: token.kind, at }
      case 'bool':
        return { kind: 'constant', at, value: text === 'true', text }
      case 'number':
        return { kind: 'constant', at, value: numberOf(token), text }
      case 'character':
        return { kind: 'constant', at, value: characterOf(token), text }
      default:
        return { kind: 'constant', at, value: unquote(token), text }
    }
  }

  #checkVariable(name: string, at: number): void {
    if (!this.#variables.includes(name)) throw this.#error(`undefined variable ${quote(`$${name}`)}`, at)
  }
}

const startsOperand: ReadonlySet<Token['kind']> = new Set<Token['kind']>([
  ...(['bool', 'character', 'dot', 'field', 'identifier', 'number', 'nil', 'rawString', 'string'] as const),
  ...(['variable', 'leftParen'] as const),
])

function isListEnd(node: Node | ListEnd): node is ListEnd {
  return node.kind === 'end' || node.kind === 'else'
}

function isBlank(nodes: readonly Node[]): boolean {
  return nodes.every((node) => node.kind === 'text' && node.text.trim() === '')
}

function checkPipeline(commands: readonly CommandNode[], context: string, at: number): void {
  if (commands.length === 0) throw new TemplateSyntaxError(`missing value for ${context}`, at)
  commands.slice(1).forEach(({ operands: [first] }, index) => {
    if (first.kind === 'constant' || first.kind === 'nil' || first.kind === 'dot')
      throw new TemplateSyntaxError(`non executable command in pipeline stage ${index + 2}`, first.at)
  })
}

function describeToken({ kind, text }: Token): string {
  if (kind === 'end') return 'EOF'
  if (kind === 'keyword' || kind === 'dot' || kind === 'nil') return `<${text}>`
  return text.length > 10 ? `${quote(text.slice(0, 10))}...` : quote(text)
}

function numberOf({ text, at }: Token): number {
  const digits = text.replaceAll('_', '').replace(/^[+-]/, '')
  const value = /^0[0-7]+$/.test(digits) ? Number(`0o${digits.slice(1)}`) : Number(digits)
  if (Number.isNaN(value) || /^0x.*p/i.test(digits))
    throw new TemplateSyntaxError(`illegal number syntax: ${quote(text)}`, at)
  return text.startsWith('-') ? -value : value
}

function characterOf(token: Token): number {
  const text = unescape(token, token.text.slice(1, -1))
  const code = text.codePointAt(0)
  if (text === '') throw new TemplateSyntaxError('invalid syntax', token.at)
  if (code === undefined || text.length !== String.fromCodePoint(code).length)
    throw new TemplateSyntaxError(`malformed character constant: ${token.text}`, token.at)
  return code
}

function unquote(token: Token): string {
  const inner = token.text.slice(1, -1)
  return token.kind === 'rawString' ? inner.replaceAll('\r', '') : unescape(token, inner)
}

const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
}

/** Go's escapes. `\xNN` and `\NNN` give a character of that number, where Go gives a byte. */
function unescape({ at }: Token, inner: string): string {
  if (!inner.includes('\\')) return inner
  const escape = /\\(?:([abfnrtv\\"'])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))/gsu
  return inner.replace(escape, (_all, simple?: string, hex?: string, octal?: string, short?: string, long?: string) => {
    if (simple !== undefined) return simpleEscapes[simple] ?? ''
    const code = octal === undefined ? Number.parseInt(hex ?? short ?? long ?? 'x', 16) : Number.parseInt(octal, 8)
    if (Number.isNaN(code) || code > 0x10ffff) throw new TemplateSyntaxError('invalid syntax', at)
    return String.fromCodePoint(code)
  })
}

/** An operand as Go prints it in errors. */
export function describeOperand(operand: Operand): string {
  const fields = (names: readonly string[]): string => names.map((name) => `.${name}`).join('')
  switch (operand.kind) {
    case 'dot':
      return '.'
    case 'nil':
      return 'nil'
    case 'constant':
      return operand.text
    case 'field':
      return fields(operand.names)
    case 'variable':
      return `$${operand.name}${fields(operand.names)}`
    case 'function':
      return operand.name
    case 'pipeline':
      return `(${describePipeline(operand.pipe)})`
    case 'chain':
      return describeOperand(operand.of) + fields(operand.names)
    default:
      return operand satisfies never
  }
}

/** A command as Go prints it in errors. */
export function describeCommand({ operands }: CommandNode): string {
  return operands.map(describeOperand).join(' ')
}

/** A pipeline as Go prints it in errors. */
export function describePipeline({ variables, assigns, commands }: Pipeline): string {
  const targets = variables.map((name) => `$${name}`).join(', ')
  return `${targets === '' ? '' : `${targets} ${assigns ? '=' : ':='} `}${commands.map(describeCommand).join(' | ')}`
}
