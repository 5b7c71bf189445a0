import { CairnError } from '../../errors/error.ts'
import { evaluate } from './template-evaluator.ts'
import { TemplateRunError, TemplateSyntaxError } from './template-error.ts'
import { type TemplateFunction, templateFunctions } from './template-functions.ts'
import { parseTemplate } from './template-parser.ts'

/** A template ready to be filled in. */
export interface Template {
  /**
   * The text for one value. Fields are properties, getters or methods of it; what a plain object lacks is an error,
   * what a Map lacks is `<no value>`. Throws USAGE (status 1) with Go's text.
   */
  render(data: unknown): string
}

export interface TemplateOptions {
  /** Name that errors show. */
  readonly name?: string
  /** Exit status for a template that cannot be read; 1 by default, and 64 where docker shows single objects. */
  readonly syntaxStatus?: number
  /** Functions in addition to, or instead of, Go's and docker's. */
  readonly functions?: Readonly<Record<string, TemplateFunction>>
}

/** What docker ends with where it cannot read the template of `inspect`, `info` and `version`. */
export const objectSyntaxStatus = 64

/** Reads a template of Go's text/template with docker's functions. Throws USAGE with Go's text. */
export function compileTemplate(text: string, options: TemplateOptions = {}): Template {
  const { name = '', syntaxStatus = 1, functions = {} } = options
  const known = { ...templateFunctions, ...functions }
  const names = new Set([...Object.keys(known), 'and', 'or'])
  try {
    const templates = parseTemplate(text, name, names)
    return { render: (data) => reporting(text, name, names, () => evaluate(templates, name, known, data)) }
  } catch (error) {
    throw report(error, text, name, names, syntaxStatus)
  }
}

/** Reads a template and fills it in. Throws USAGE (status 1) with Go's text. */
export function renderTemplate(text: string, data: unknown, options: TemplateOptions = {}): string {
  return compileTemplate(text, options).render(data)
}

function reporting(text: string, name: string, functions: ReadonlySet<string>, work: () => string): string {
  try {
    return work()
  } catch (error) {
    throw report(error, text, name, functions)
  }
}

function report(error: unknown, text: string, name: string, functions: ReadonlySet<string>, syntaxStatus = 1): unknown {
  const prefix = 'template parsing error: template:'
  if (error instanceof TemplateSyntaxError) {
    const hint = /^function .* not defined$/.test(error.message)
      ? { hint: `Functions: ${[...functions].sort().join(' ')}` }
      : {}
    return new CairnError('USAGE', `${prefix} ${name}:${position(text, error.at).line}: ${error.message}`, {
      exitCode: syntaxStatus,
      ...hint,
    })
  }
  if (error instanceof TemplateRunError) {
    const { line, column } = position(text, error.at)
    const where = `${name}:${line}:${column}: executing ${JSON.stringify(error.template)} at <${error.context}>`
    return new CairnError('USAGE', `${prefix} ${where}: ${error.message}`, {
      exitCode: 1,
      hint: error.hint,
    })
  }
  return error
}

/** Line from 1 and byte column from 0, as Go counts them. */
function position(text: string, at: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, at)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: Buffer.byteLength(before.slice(start)) }
}
