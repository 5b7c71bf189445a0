import { isSpace, quoteGo, trimSpace, trimSpaceLeft } from './characters.ts'

/** What an instruction's text is cut into. */
export interface Arguments {
  readonly args: readonly string[]
  readonly json: boolean
}

/** The text cannot be cut, or is not what the instruction takes; the message is BuildKit's. */
export class ArgumentError extends Error {
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}

const none: Arguments = { args: [], json: false }
const blanks = /[\t\v\f\r ]+/

/** A JSON list, else the whole text as one argument: RUN, CMD, ENTRYPOINT, SHELL. */
export function jsonOrWhole(rest: string): Arguments {
  if (rest === '') return none
  return jsonList(rest) ?? { args: [rest], json: false }
}

/** A JSON list, else words between blanks: COPY, ADD, VOLUME. */
export function jsonOrWords(rest: string): Arguments {
  return jsonList(rest) ?? words(rest)
}

/** Words between blanks; quotes mean nothing: FROM, EXPOSE. */
export function words(rest: string): Arguments {
  return rest === '' ? none : { args: rest.split(blanks), json: false }
}

/** The whole text as one argument: USER, WORKDIR, STOPSIGNAL, MAINTAINER. */
export function whole(rest: string): Arguments {
  return rest === '' ? none : { args: [rest], json: false }
}

/** Words between spaces outside of quotes: ARG. */
export function quotedWordArguments(rest: string, escape: string): Arguments {
  return { args: quotedWords(rest, escape), json: false }
}

/** A kind (`CMD`, `NONE`), then a JSON list or the whole rest: HEALTHCHECK. */
export function kindAndCommand(rest: string): Arguments {
  let end = 0
  while (end < rest.length && !isSpace(rest.charAt(end))) end++
  if (end === 0) return none
  const command = jsonOrWhole(trimSpaceLeft(rest.slice(end)))
  return { args: [rest.slice(0, end), ...command.args], json: command.json }
}

/** Three arguments a pair, see `InstructionNode.args`: ENV, LABEL. */
export function pairs(rest: string, instruction: 'ENV' | 'LABEL', escape: string): Arguments {
  const found = quotedWords(rest, escape)
  const first = found[0]
  if (first === undefined) return none
  if (!first.includes('=')) {
    const blank = blanks.exec(rest)
    if (blank === null) throw new ArgumentError(`${instruction} must have two arguments`)
    return { args: [rest.slice(0, blank.index), rest.slice(blank.index + blank[0].length), ''], json: false }
  }
  const args = found.flatMap((word) => {
    const equals = word.indexOf('=')
    if (equals < 0) {
      throw new ArgumentError(`Syntax error - can't find = in ${quoteGo(word)}. Must be of the form: name=value`)
    }
    return [word.slice(0, equals), word.slice(equals + 1), '=']
  })
  return { args, json: false }
}

/** A JSON list of strings; undefined where the text is not a JSON list at all. */
function jsonList(rest: string): Arguments | undefined {
  const text = trimSpaceLeft(rest)
  if (!text.startsWith('[')) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(value)) return undefined
  const args = value.map((item: unknown) => {
    if (typeof item !== 'string') {
      throw new ArgumentError('when using JSON array syntax, arrays must be comprised of strings only')
    }
    return item.toWellFormed()
  })
  return { args, json: true }
}

/** Words between spaces; quotes group and stay, an escaped character stays with its escape. */
export function quotedWords(rest: string, escape: string): string[] {
  const found: string[] = []
  let position = 0
  while (position < rest.length) {
    while (position < rest.length && isSpace(rest.charAt(position))) position++
    if (position === rest.length) break
    let word = ''
    let quote = ''
    for (; position < rest.length; position++) {
      const char = rest.charAt(position)
      if (quote === '' && isSpace(char)) break
      if (char === escape && quote !== "'") {
        // An escape character at the very end stands for nothing.
        if (++position < rest.length) word += char + rest.charAt(position)
        continue
      }
      if (quote === '' && (char === "'" || char === '"')) quote = char
      else if (char === quote) quote = ''
      word += char
    }
    if (word !== '') found.push(word)
  }
  return found
}

/** `line` as its first word, the flags after it (quotes and escapes resolved), and the text after those. */
export function splitInstruction(
  line: string,
  escape: string,
): { readonly keyword: string; readonly flags: readonly string[]; readonly rest: string } {
  const trimmed = trimSpace(line)
  const blank = blanks.exec(trimmed)
  if (blank === null) return { keyword: trimmed, flags: [], rest: '' }
  const { flags, rest } = takeFlags(trimmed.slice(blank.index + blank[0].length), escape)
  return { keyword: trimmed.slice(0, blank.index), flags, rest: trimSpace(rest) }
}

function takeFlags(text: string, escape: string): { flags: string[]; rest: string } {
  const flags: string[] = []
  let position = 0
  for (;;) {
    while (position < text.length && isSpace(text.charAt(position))) position++
    if (!text.startsWith('--', position)) return { flags, rest: text.slice(position) }
    let flag = ''
    let quote = ''
    for (; position < text.length; position++) {
      const char = text.charAt(position)
      if (quote === '' && isSpace(char)) break
      if (char === quote) quote = ''
      else if (quote === '' && (char === "'" || char === '"')) quote = char
      else if (char === escape) flag += text.charAt(++position)
      else flag += char
    }
    if (flag === '--') return { flags, rest: text.slice(position) }
    flags.push(flag)
  }
}
