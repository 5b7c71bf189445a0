import { CairnError } from '../errors/error.ts'
import type { Directive } from './ast.ts'
import { quoteGo, trimSpace, trimSpaceLeft } from './characters.ts'
import type { CheckOptions } from './instruction.ts'

const directivePattern = /^([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/

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
    const match = line.startsWith(this.#marker)
      ? directivePattern.exec(trimSpaceLeft(line.slice(this.#marker.length)))
      : null
    const name = match?.[1]?.toLowerCase()
    const value = match?.[2]
    if (value === undefined || (name !== 'syntax' && name !== 'escape' && name !== 'check')) {
      this.#done = true
      return undefined
    }
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
  const compact = trimSpace(text).replace(/\s*([;,=])\s*/g, '$1')
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
    if (equals < 0) throw invalid(part)
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
        throw new CairnError('DOCKERFILE_INVALID', `failed to parse check option ${quoteGo(part)}`)
      }
      options.error = error
    } else {
      throw invalid(key)
    }
  }
  return options
}

function invalid(option: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `invalid check option ${quoteGo(option)}`, {
    hint: 'the options are skip=, experimental= and error=, joined with ;',
  })
}

/** A boolean as Go's `strconv.ParseBool` reads it; undefined for any other text. */
export function parseGoBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false
  return undefined
}
