import { CairnError, isCairnError } from '../errors/error.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { type Budget, type Condition, type IgnoredFinding, parseCondition } from './budget.ts'

/**
 * Reads a budget: JSON with `failOn`, a list of conditions, and `ignore`, a list of findings that are known; or the
 * rules of a `.dive-ci`. `name` names the file in errors. Throws USAGE naming the field or line.
 */
export function parseBudget(text: string, name: string): Budget {
  return text.trimStart().startsWith('{')
    ? parseJsonBudget(text, name)
    : { conditions: parseDiveRules(text, name), ignore: [] }
}

function parseJsonBudget(text: string, name: string): Budget {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw invalid(name, `it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  if (!isJsonObject(value)) throw invalid(name, 'it is no object')
  const unknown = Object.keys(value).find((key) => key !== 'failOn' && key !== 'ignore')
  if (unknown !== undefined)
    throw invalid(name, `unknown field ${JSON.stringify(unknown)}; there are failOn and ignore`)
  const { failOn = [], ignore = [] } = value
  if (!Array.isArray(failOn) || !failOn.every((item) => typeof item === 'string'))
    throw invalid(name, 'failOn is no list of conditions')
  if (!Array.isArray(ignore)) throw invalid(name, 'ignore is no list')
  const conditions = failOn.map((item, index) => located(name, `failOn[${index}]`, () => parseCondition(item)))
  return { conditions, ignore: ignore.map((item, index) => parseIgnored(item, `ignore[${index}]`, name)) }
}

const ignoredFields: ReadonlySet<string> = new Set(['rule', 'path', 'name', 'reason'])

function parseIgnored(value: unknown, where: string, name: string): IgnoredFinding {
  const isRight =
    isJsonObject(value) &&
    Object.entries(value).every(([key, text]) => ignoredFields.has(key) && typeof text === 'string')
  if (!isRight || (value['rule'] === undefined && value['path'] === undefined && value['name'] === undefined))
    throw invalid(name, `${where} needs rule, path or name, each a text; reason may say why`)
  const { rule, path, name: variable } = value as Record<string, string>
  return {
    ...(rule !== undefined && { rule }),
    ...(path !== undefined && { path }),
    ...(variable !== undefined && { name: variable }),
  }
}

/** dive's rule → condition. */
const diveRules: Readonly<Record<string, (value: string) => string>> = {
  lowestEfficiency: (value) => `efficiency<${value}`,
  highestWastedBytes: (value) => `wasted>${value}`,
  highestUserWastedPercent: (value) => `user-wasted>${value}`,
}

function parseDiveRules(text: string, name: string): readonly Condition[] {
  const conditions: Condition[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const plain = line.replace(/(?:^|\s)#.*$/, '').trim()
    if (plain === '' || plain === '---' || plain === 'rules:') continue
    const match = /^["']?([A-Za-z]+)["']?\s*:\s*["']?([^"']+?)["']?$/.exec(plain)
    const [, rule = '', value = ''] = match ?? []
    const toCondition = Object.hasOwn(diveRules, rule) ? diveRules[rule] : undefined
    if (toCondition === undefined)
      throw invalid(name, `line ${index + 1} is no rule; there are ${Object.keys(diveRules).join(', ')}`)
    if (/^(?:disabled|off|false)$/i.test(value)) continue
    conditions.push(located(name, `line ${index + 1}`, () => parseCondition(toCondition(value))))
  }
  return conditions
}

function located<T>(name: string, where: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError('USAGE', `budget ${name}: ${where}: ${error.message}`, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
    })
  }
}

function invalid(name: string, why: string): CairnError {
  return new CairnError('USAGE', `budget ${name}: ${why}`)
}
