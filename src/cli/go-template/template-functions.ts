import { formatValue, isNil, print, printf, println, sortedEntries, typeName } from './go-format.ts'

/** A function templates may call. `parameters` are checked before the call, the last one for all that follow if `variadic`. */
export interface TemplateFunction {
  readonly parameters: readonly ('any' | 'string' | 'int' | 'strings')[]
  readonly variadic?: true
  /** An Error thrown here is reported as Go does: `error calling NAME: …`. */
  call(...values: readonly never[]): unknown
}

/** Texts made by a function may not be longer than this. */
const longest = 1_000_000

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Go's idea of an empty value: false, 0, nil, and an empty text, slice or map. */
export function isTrue(value: unknown): boolean {
  if (isNil(value) || value === false || value === 0 || value === 0n || value === '') return false
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Map) return value.size > 0
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    return Object.keys(value).length > 0
  return true
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return encoder.encode(value).byteLength
  if (Array.isArray(value)) return value.length
  if (isNil(value)) throw new Error('len of nil pointer')
  if (typeof value === 'object') return sortedEntries(value).length
  throw new Error(`len of type ${typeName(value)}`)
}

function indexInto(value: unknown, ...keys: readonly unknown[]): unknown {
  let item = value
  for (const key of keys) item = itemAt(item, key)
  return item
}

function itemAt(value: unknown, key: unknown): unknown {
  if (isNil(value)) throw new Error('index of untyped nil')
  if (typeof value === 'string' || Array.isArray(value)) {
    const items: ArrayLike<unknown> = typeof value === 'string' ? encoder.encode(value) : value
    return items[checkedIndex(key, items.length - 1)]
  }
  if (typeof value !== 'object') throw new Error(`can't index item of type ${typeName(value)}`)
  if (typeof key !== 'string') throw new Error(`value has type ${typeName(key)}; should be string`)
  if (value instanceof Map ? value.has(key) : Object.hasOwn(value, key))
    return value instanceof Map ? value.get(key) : (value as Readonly<Record<string, unknown>>)[key]
  // The zero value of a map of strings, as of labels, is the empty text.
  return sortedEntries(value).every(([, item]) => typeof item === 'string') ? '' : undefined
}

function checkedIndex(key: unknown, largest: number): number {
  if (isNil(key)) throw new Error('cannot index slice/array with nil')
  if (typeof key !== 'number' || !Number.isInteger(key))
    throw new Error(`cannot index slice/array with type ${typeName(key)}`)
  if (key < 0 || key > largest) throw new Error(`index out of range: ${key}`)
  return key
}

function sliceOf(value: unknown, ...indexes: readonly unknown[]): unknown {
  if (indexes.length > 3) throw new Error(`too many slice indexes: ${indexes.length}`)
  if (isNil(value)) throw new Error('slice of untyped nil')
  if (typeof value !== 'string' && !Array.isArray(value)) throw new Error(`can't slice item of type ${typeName(value)}`)
  if (typeof value === 'string' && indexes.length === 3) throw new Error('cannot 3-index slice a string')
  const items = typeof value === 'string' ? encoder.encode(value) : value
  const [from = 0, to = items.length] = indexes.map((index) => checkedIndex(index, items.length))
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`)
  return typeof value === 'string' ? decoder.decode(encoder.encode(value).subarray(from, to)) : value.slice(from, to)
}

/** Which values compare with which. */
function comparisonKind(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return 'number'
  if (isNil(value)) return 'nil'
  return typeof value
}

function equal(first: unknown, second: unknown): boolean {
  const kinds = [comparisonKind(first), comparisonKind(second)]
  if (kinds.includes('nil')) return kinds[0] === kinds[1]
  for (const value of [first, second])
    if (typeof value === 'object' && !(value instanceof Date))
      throw new Error(`non-comparable type ${formatValue(value)}: ${typeName(value)}`)
  if (kinds[0] !== kinds[1]) throw new Error('incompatible types for comparison')
  // oxlint-disable-next-line eqeqeq -- an int may be a number on one side and a bigint on the other
  return first instanceof Date && second instanceof Date ? first.getTime() === second.getTime() : first == second
}

function isLess(first: unknown, second: unknown): boolean {
  const kind = comparisonKind(first)
  if (kind !== comparisonKind(second)) throw new Error('incompatible types for comparison')
  if (kind !== 'number' && kind !== 'string') throw new Error('invalid type for comparison')
  if (typeof first === 'string' && typeof second === 'string')
    return Buffer.compare(Buffer.from(first), Buffer.from(second)) < 0
  return (first as number) < (second as number)
}

function anyEqual(first: unknown, ...others: readonly unknown[]): boolean {
  if (others.length === 0) throw new Error('missing argument for comparison')
  return others.some((other) => equal(first, other))
}

const htmlEscapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  "'": '&#39;',
  '"': '&#34;',
  '<': '&lt;',
  '>': '&gt;',
  '\0': '\uFFFD',
}

function textOf(values: readonly unknown[]): string {
  return print(values.map((value) => (isNil(value) ? '<no value>' : value)))
}

function escapeScript(text: string): string {
  return text.replace(/[\\'"<>&=\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    if ('\\\'"'.includes(character)) return `\\${character}`
    const escape = (one: string): string =>
      `\\u${(one.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
    return Array.from(character, escape).join('')
  })
}

/** `value` as JSON; a Map is an object and a method is left out. */
export function toJson(value: unknown): string {
  const replaced = (_key: string, item: unknown): unknown => {
    if (item instanceof Map) return Object.fromEntries(item)
    return typeof item === 'bigint' ? Number(item) : item
  }
  return JSON.stringify(value, replaced) ?? 'null'
}

function limited(text: string): string {
  if (text.length > longest) throw new Error(`the result is longer than ${longest} characters`)
  return text
}

function pad(text: string, before: number, after: number): string {
  if (text === '') return text
  if (Math.min(before, after) < 0) throw new Error('strings: negative Repeat count')
  if (Math.max(before, after) > longest) throw new Error(`the result is longer than ${longest} characters`)
  return ' '.repeat(before) + text + ' '.repeat(after)
}

const any = { parameters: ['any'], variadic: true } as const

/** The functions of text/template and docker's own (docker/cli templates), by name. `and` and `or` are the evaluator's. */
export const templateFunctions: Readonly<Record<string, TemplateFunction>> = {
  not: { parameters: ['any'], call: (value: unknown) => !isTrue(value) },
  len: { parameters: ['any'], call: lengthOf },
  index: { parameters: ['any', 'any'], variadic: true, call: indexInto },
  slice: { parameters: ['any', 'any'], variadic: true, call: sliceOf },
  call: {
    parameters: ['any', 'any'],
    variadic: true,
    call: (value: unknown) => {
      throw new Error(isNil(value) ? 'call of nil' : `non-function of type ${typeName(value)}`)
    },
  },
  print: { ...any, call: (...values: unknown[]) => print(values) },
  println: { ...any, call: (...values: unknown[]) => println(values) },
  printf: {
    parameters: ['string', 'any'],
    variadic: true,
    call: (format: string, ...values: unknown[]) => limited(printf(format, values)),
  },
  html: {
    ...any,
    call: (...values: unknown[]) => textOf(values).replace(/[&'"<>\0]/g, (one) => htmlEscapes[one] ?? one),
  },
  js: { ...any, call: (...values: unknown[]) => escapeScript(textOf(values)) },
  urlquery: {
    ...any,
    call: (...values: unknown[]) =>
      encodeURIComponent(textOf(values).toWellFormed())
        .replaceAll('%20', '+')
        .replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`),
  },
  eq: { parameters: ['any', 'any'], variadic: true, call: anyEqual },
  ne: { parameters: ['any', 'any'], call: (first: unknown, second: unknown) => !equal(first, second) },
  lt: { parameters: ['any', 'any'], call: isLess },
  le: { parameters: ['any', 'any'], call: (a: unknown, b: unknown) => isLess(a, b) || equal(a, b) },
  gt: { parameters: ['any', 'any'], call: (a: unknown, b: unknown) => !isLess(a, b) && !equal(a, b) },
  ge: { parameters: ['any', 'any'], call: (a: unknown, b: unknown) => !isLess(a, b) },
  json: { parameters: ['any'], call: toJson },
  split: { parameters: ['string', 'string'], call: (text: string, by: string) => text.split(by) },
  join: { parameters: ['strings', 'string'], call: (texts: readonly string[], by: string) => limited(texts.join(by)) },
  title: {
    parameters: ['string'],
    call: (text: string) => text.replace(/(?<![\p{L}\p{Nd}_])\p{L}/gu, (letter) => letter.toUpperCase()),
  },
  lower: { parameters: ['string'], call: (text: string) => text.toLowerCase() },
  upper: { parameters: ['string'], call: (text: string) => text.toUpperCase() },
  pad: { parameters: ['string', 'int', 'int'], call: pad },
  truncate: {
    parameters: ['string', 'int'],
    call: (text: string, length: number) => Array.from(text).slice(0, Math.max(0, length)).join(''),
  },
}
