/**
 * Go's fmt as templates use it: `print`, `println`, `printf` and the text of a value. A JavaScript number that is whole
 * is an int, any other a float64; a Map or object is a map, an array a slice.
 */
const largest = 1_000_000

/** Whether a value is nil: null or undefined. */
export function isNil(value: unknown): value is null | undefined {
  return value === null || value === undefined
}

/** The entries of a Map or object, sorted by key as Go ranges over a map; methods are left out. */
export function sortedEntries(value: object): readonly (readonly [string, unknown])[] {
  const entries: (readonly [string, unknown])[] =
    value instanceof Map
      ? [...value].map(([key, item]: [unknown, unknown]) => [typeof key === 'string' ? key : formatValue(key), item])
      : Object.entries(value)
  return entries.filter(([, item]) => typeof item !== 'function').sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

/** Go's name for the type of a value, as `%T` and error texts show it. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return 'string'
    case 'boolean':
      return 'bool'
    case 'bigint':
      return 'int'
    case 'number':
      return Number.isInteger(value) ? 'int' : 'float64'
    case 'function':
      return 'func()'
    default:
      if (isNil(value)) return '<nil>'
      if (Array.isArray(value)) return value.every((item) => typeof item === 'string') ? '[]string' : '[]interface {}'
      return value instanceof Date ? 'time.Time' : 'map[string]interface {}'
  }
}

/** A number as Go's `%v` prints it: an int in digits, a float in the fewest, with an exponent below 1e-4 and from 1e6 on. */
function formatFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
  if (Object.is(value, -0)) return '-0'
  const size = Math.abs(value)
  const exponent = !Number.isInteger(value) && (size < 1e-4 || size >= 1e6)
  if (exponent) return twoDigitExponent(value.toExponential())
  return twoDigitExponent(String(value))
}

/** `1e-7` as Go writes it: `1e-07`. */
function twoDigitExponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2')
}

/** What a struct of docker's is printed as, where it says so itself. JSON cannot. */
function ownText(value: object): string | undefined {
  const print: unknown = Object.getOwnPropertyDescriptor(value, 'toString')?.value
  return typeof print === 'function' ? (print as () => string)() : undefined
}

/** The text of a value as `{{.}}` prints it (`%v`). A value inside itself, or nested too deep, is shown as `...`. */
export function formatValue(value: unknown, depth = 0): string {
  if (isNil(value)) return '<nil>'
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return formatFloat(value)
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'object':
      break
    default:
      return `<${typeof value}>`
  }
  if (depth > 50) return '...'
  const own = ownText(value)
  if (own !== undefined) return own
  if (Array.isArray(value)) return `[${value.map((item) => formatValue(item, depth + 1)).join(' ')}]`
  if (value instanceof Date) return value.toISOString()
  return `map[${sortedEntries(value)
    .map(([key, item]) => `${key}:${formatValue(item, depth + 1)}`)
    .join(' ')}]`
}

/** Go's strconv.Quote: a text in double quotes with what cannot be printed escaped. */
export function quote(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '"': '\\"', '\\': '\\\\' }
  let out = '"'
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    const escape = escapes[character]
    if (escape !== undefined) out += escape
    else if (code < 0x20 || code === 0x7f) out += `\\x${code.toString(16).padStart(2, '0')}`
    else if (/[\p{C}\p{Zl}\p{Zp}]/u.test(character))
      out += code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
    else out += character
  }
  return `${out}"`
}

/** Go's fmt.Sprint: operands follow each other, with a space between two when neither is a string. */
export function print(values: readonly unknown[]): string {
  let out = ''
  values.forEach((value, index) => {
    if (index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string') out += ' '
    out += formatValue(value)
  })
  return out
}

/** Go's fmt.Sprintln: operands separated by spaces, and a newline. */
export function println(values: readonly unknown[]): string {
  return `${values.map((value) => formatValue(value)).join(' ')}\n`
}

interface Directive {
  readonly flags: ReadonlySet<string>
  readonly width: number | undefined
  readonly precision: number | undefined
}

/** Go's fmt.Sprintf. Wrong uses are shown in the output as Go shows them: `%!d(string=x)`, `%!s(MISSING)`. */
export function printf(format: string, values: readonly unknown[]): string {
  return new Formatter(format, values).run()
}

class Formatter {
  readonly #format: string
  readonly #values: readonly unknown[]
  #at = 0
  #next = 0
  #reordered = false
  #badIndex = false

  constructor(format: string, values: readonly unknown[]) {
    this.#format = format
    this.#values = values
  }

  run(): string {
    let out = ''
    while (this.#at < this.#format.length) {
      const percent = this.#format.indexOf('%', this.#at)
      if (percent < 0) {
        out += this.#format.slice(this.#at)
        break
      }
      out += this.#format.slice(this.#at, percent)
      this.#at = percent + 1
      out += this.#directive()
    }
    if (!this.#reordered && this.#next < this.#values.length) {
      const extra = this.#values.slice(this.#next)
      out += `%!(EXTRA ${extra.map((value) => (isNil(value) ? '<nil>' : `${typeName(value)}=${formatValue(value)}`)).join(', ')})`
    }
    return out
  }

  #directive(): string {
    this.#badIndex = false
    const flags = new Set<string>()
    for (; '+-# 0'.includes(this.#format[this.#at] ?? 'x'); this.#at++) flags.add(this.#format.charAt(this.#at))
    this.#argumentIndex()
    const width = this.#number(flags)
    let precision: number | undefined
    if (this.#format[this.#at] === '.') {
      this.#at++
      this.#argumentIndex()
      precision = this.#number() ?? 0
    }
    this.#argumentIndex()
    const character = this.#format.codePointAt(this.#at)
    if (character === undefined) return '%!(NOVERB)'
    const verb = String.fromCodePoint(character)
    this.#at += verb.length
    if (verb === '%') return '%'
    if (this.#badIndex) return `%!${verb}(BADINDEX)`
    if (this.#next >= this.#values.length) return `%!${verb}(MISSING)`
    const value = this.#values[this.#next++]
    if (width !== undefined && width > largest)
      return `%!(BADWIDTH)${formatOne(verb, value, { flags, width: undefined, precision })}`
    if (precision !== undefined && precision > largest)
      return `%!(BADPREC)${formatOne(verb, value, { flags, width, precision: undefined })}`
    return formatOne(verb, value, { flags, width, precision })
  }

  /** `[n]`: the next operand is number n. */
  #argumentIndex(): void {
    if (this.#format[this.#at] !== '[') return
    this.#reordered = true
    const match = /^\[(\d{1,7})\]/.exec(this.#format.slice(this.#at, this.#at + 10))
    const index = Number(match?.[1] ?? 0)
    const close = this.#format.indexOf(']', this.#at)
    this.#at = close < 0 ? this.#at + 1 : close + 1
    if (match === null || index < 1 || index > this.#values.length) this.#badIndex = true
    else this.#next = index - 1
  }

  /** A width or precision in digits, or `*` for the next operand. */
  #number(flags?: Set<string>): number | undefined {
    if (this.#format[this.#at] === '*') {
      this.#at++
      const value = this.#values[this.#next++]
      if (typeof value !== 'number' || !Number.isInteger(value)) return undefined
      if (value < 0) flags?.add('-')
      return Math.abs(value)
    }
    let digits = ''
    for (; /\d/.test(this.#format[this.#at] ?? ''); this.#at++) digits += this.#format.charAt(this.#at)
    return digits === '' ? undefined : Number(digits)
  }
}

function formatOne(verb: string, value: unknown, directive: Directive): string {
  const text = verb === 'T' ? typeName(value) : textFor(verb, value, directive)
  if (text === undefined) {
    const shown = isNil(value) ? '<nil>' : `${typeName(value)}=${formatValue(value)}`
    return `%!${verb}(${shown})`
  }
  return padded(text, typeof value === 'number' || typeof value === 'bigint', directive)
}

/** The value under a verb without padding, or undefined where the verb does not suit it. */
function textFor(verb: string, value: unknown, directive: Directive): string | undefined {
  if (verb === 'v')
    return typeof value === 'string'
      ? textOfString(directive.flags.has('#') ? 'q' : 's', value, { ...directive, flags: new Set() })
      : formatValue(value)
  if (isNil(value)) return undefined
  if (Array.isArray(value)) {
    if (typeof value[0] === 'number' && verb === 's') return undefined
    return `[${value.map((item) => formatOne(verb, item, { ...directive, width: undefined })).join(' ')}]`
  }
  switch (typeof value) {
    case 'string':
      return textOfString(verb, value, directive)
    case 'boolean':
      return verb === 't' ? String(value) : undefined
    case 'bigint':
      return textOfInteger(verb, value, directive)
    case 'number':
      if ('eEfFgG'.includes(verb)) return textOfFloat(verb, value, directive)
      return Number.isInteger(value) ? textOfInteger(verb, BigInt(value), directive) : undefined
    default:
      return verb === 's' ? formatValue(value) : undefined
  }
}

function textOfString(verb: string, value: string, { flags, precision }: Directive): string | undefined {
  const cut = precision === undefined ? value : Array.from(value).slice(0, precision).join('')
  switch (verb) {
    case 's':
      return cut
    case 'q':
      return flags.has('#') && !/[`\p{C}]/u.test(cut) ? `\`${cut}\`` : quote(cut)
    case 'x':
    case 'X': {
      const digits = Buffer.from(cut).toString('hex')
      const hex = flags.has(' ') ? digits.replace(/..(?!$)/g, '$& ') : digits
      return verb === 'x' ? hex : hex.toUpperCase()
    }
    default:
      return undefined
  }
}

const radixes: Readonly<Record<string, readonly [radix: number, prefix: string]>> = {
  d: [10, ''],
  b: [2, '0b'],
  o: [8, '0'],
  O: [8, '0o'],
  x: [16, '0x'],
  X: [16, '0X'],
}

function textOfInteger(verb: string, value: bigint, { flags, precision }: Directive): string | undefined {
  const sign = value < 0n ? '-' : flags.has('+') ? '+' : flags.has(' ') ? ' ' : ''
  if (verb === 'c' || verb === 'q' || verb === 'U') {
    const code = value >= 0n && value <= 0x10ffffn ? Number(value) : 0xfffd
    if (verb === 'U') return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
    const character = String.fromCodePoint(code)
    return verb === 'c' ? character : `'${quote(character).slice(1, -1).replace('\\"', '"').replace("'", "\\'")}'`
  }
  const radix = Object.hasOwn(radixes, verb) ? radixes[verb] : undefined
  if (radix === undefined) return undefined
  const digits = (value < 0n ? -value : value).toString(radix[0]).padStart(precision ?? 0, '0')
  const prefix = flags.has('#') || verb === 'O' ? radix[1] : ''
  return sign + prefix + (verb === 'X' ? digits.toUpperCase() : digits)
}

function textOfFloat(verb: string, value: number, { flags, precision }: Directive): string {
  const sign = value >= 0 && flags.has('+') ? '+' : value >= 0 && flags.has(' ') ? ' ' : ''
  if (!Number.isFinite(value)) return sign + formatFloat(value).replace(/^\+/, '')
  const digits = Math.min(precision ?? 6, 100)
  switch (verb) {
    case 'f':
    case 'F':
      return sign + value.toFixed(digits)
    case 'e':
    case 'E': {
      const text = twoDigitExponent(value.toExponential(digits))
      return sign + (verb === 'E' ? text.toUpperCase() : text)
    }
    default: {
      const text = precision === undefined ? formatFloat(value) : formatSignificant(value, Math.max(1, digits))
      return sign + (verb === 'G' ? text.toUpperCase() : text)
    }
  }
}

function formatSignificant(value: number, digits: number): string {
  const text = value.toPrecision(digits)
  const [mantissa = '', exponent] = text.split('e')
  const trimmed = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
  return exponent === undefined ? trimmed : twoDigitExponent(`${trimmed}e${exponent}`)
}

function padded(text: string, numeric: boolean, { flags, width, precision }: Directive): string {
  const missing = (width ?? 0) - Array.from(text).length
  if (missing <= 0) return text
  if (flags.has('-')) return text + ' '.repeat(missing)
  if (!flags.has('0') || (numeric && precision !== undefined && !text.includes('.'))) return ' '.repeat(missing) + text
  const sign = numeric ? (/^[+\- ]/.exec(text)?.[0] ?? '') : ''
  return sign + '0'.repeat(missing) + text.slice(sign.length)
}
