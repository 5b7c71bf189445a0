import { CairnError } from '../errors/error.ts'
import type { Directive } from './ast.ts'
import { parseGoBool } from './go-bool.ts'
import { quoteGo, trimSpace, trimSpaceLeft } from './characters.ts'
import type { CheckOptions } from './instruction.ts'

/** Space around the name and the value of a directive: what Go's `\s` is, which has no vertical tab. */
const blank = '[\\t\\n\\f\\r ]'
const directiveStart = new RegExp(`^([a-zA-Z][a-zA-Z0-9]*)${blank}*=${blank}*`)
const isBlank = new RegExp(`^${blank}$`)

/** `name = value`, the name in lower case, as directives are written; undefined for any other text. */
export function splitDirective(text: string): { readonly name: string; readonly value: string } | undefined {
  const match = directiveStart.exec(text)
  const name = match?.[1]?.toLowerCase()
  if (match === null || name === undefined) return undefined
  const start = match[0].length
  let end = text.length
  while (end > start && isBlank.test(text.charAt(end - 1))) end--
  if (end > start) return { name, value: text.slice(start, end) }
  // A value of spaces only is one space, as in BuildKit.
  return text.endsWith('=') ? undefined : { name, value: text.slice(-1) }
}

/**
 * Reads parser directives line by line from the top of a file. The first line that is none ends it; a `#!` line at
 * the very top does not count.
 */
export class DirectiveReader {
  readonly #marker: string
  readonly #seen = new Set<string>()
  #line = 0
  #done = false

  /** `marker` begins a comment: `#`, or `//` where another frontend's syntax is looked for. */
  constructor(marker = '#') {
    this.#marker = marker
  }

  /** The directive in `line` (without leading space and line end), if any, or what is wrong with it. */
  read(line: string): Directive | { readonly error: string } | undefined {
    this.#line++
    if (this.#done || (this.#line === 1 && line.startsWith('#!'))) return undefined
    const found = line.startsWith(this.#marker)
      ? splitDirective(trimSpaceLeft(line.slice(this.#marker.length)))
      : undefined
    if (found === undefined || (found.name !== 'syntax' && found.name !== 'escape' && found.name !== 'check')) {
      this.#done = true
      return undefined
    }
    const { name, value } = found
    if (this.#seen.has(name)) {
      this.#done = true
      return { error: `only one ${name} parser directive can be used` }
    }
    this.#seen.add(name)
    return { name, value, line: this.#line }
  }

  /** True once no directive can follow. */
  get done(): boolean {
    return this.#done
  }
}

/** What stands in a file without a `check` directive. */
export const noCheckOptions: CheckOptions = {
  skip: [],
  skipAll: false,
  experimental: [],
  experimentalAll: false,
  error: false,
}

/**
 * What a `check` directive or `--build-arg BUILDKIT_DOCKERFILE_CHECK` says: `skip=A,B` or `skip=all`,
 * `experimental=…` likewise, `error=true`, joined with `;`. Text after the first space that does not stand beside
 * one of `;,=` is ignored. Throws DOCKERFILE_INVALID for any other option.
 */
export function parseCheckOptions(text: string): CheckOptions {
  const compact = text
    .split(/([;,=])/)
    .map(trimSpace)
    .join('')
  const options = {
    skip: [] as string[],
    skipAll: false,
    experimental: [] as string[],
    experimentalAll: false,
    error: false,
  }
  for (const part of (compact.split(/\s/, 1)[0] ?? '').split(';')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    if (equals < 0) throw invalid(`invalid check option ${quoteGo(part)}`)
    const key = part.slice(0, equals)
    const value = part.slice(equals + 1)
    if (key === 'skip') {
      if (value === 'all') options.skipAll = true
      else options.skip = value.split(',')
    } else if (key === 'experimental') {
      if (value === 'all') options.experimentalAll = true
      else options.experimental = value.split(',')
    } else if (key === 'error') {
      const error = parseGoBool(value)
      if (error === undefined) {
        throw invalid(`failed to parse check option ${quoteGo(part)}`)
      }
      options.error = error
    } else {
      throw invalid(`invalid check option ${quoteGo(key)}`)
    }
  }
  return options
}

function invalid(reason: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `failed to parse check options: ${reason}`, {
    hint: 'The options are skip=, experimental= and error=, joined with a semicolon.',
  })
}
