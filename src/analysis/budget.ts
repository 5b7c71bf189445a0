import { CairnError } from '../errors/error.ts'
import type { ImageAnalysis, PermissionFinding, SecretFinding, WasteKind } from './analysis.ts'

/** What must not be true of an image: `secrets`, `efficiency<0.95`, `wasted>20MB`. */
export interface Condition {
  /** As it was written. */
  readonly text: string
  readonly metric: Metric
  readonly operator: Operator
  readonly limit: number
  /** `limit` is a part of the metric's whole, from 0 to 1. */
  readonly isShare: boolean
}

/** A condition that is true. */
export interface BudgetFailure {
  readonly condition: Condition
  /** In the metric's own unit; a part of the whole where the limit is one. */
  readonly actual: number
}

/** A finding that is known and accepted. Every field that is there must match; `*` and `**` stand for parts of a path. */
export interface IgnoredFinding {
  readonly rule?: string
  readonly path?: string
  readonly name?: string
}

export interface Budget {
  readonly conditions: readonly Condition[]
  readonly ignore: readonly IgnoredFinding[]
}

const operators = {
  '<': (actual: number, limit: number) => actual < limit,
  '<=': (actual: number, limit: number) => actual <= limit,
  '>': (actual: number, limit: number) => actual > limit,
  '>=': (actual: number, limit: number) => actual >= limit,
} as const

type Operator = keyof typeof operators

/** How a metric is measured, and what a percentage of it is a part of. */
interface MetricRule {
  readonly unit: 'bytes' | 'count' | 'share'
  readonly measure: (analysis: ImageAnalysis) => number
  readonly whole?: (analysis: ImageAnalysis) => number
}

const stored = ({ stored: { bytes } }: ImageAnalysis): number => bytes

function wasteOf(kind: WasteKind): MetricRule {
  return {
    unit: 'bytes',
    measure: ({ waste }) => waste.reduce((sum, item) => (item.kind === kind ? sum + item.bytes : sum), 0),
    whole: stored,
  }
}

function permission(kind: PermissionFinding['kind']): MetricRule {
  return { unit: 'count', measure: ({ permissions }) => permissions.filter((item) => item.kind === kind).length }
}

const metrics = {
  efficiency: { unit: 'share', measure: ({ efficiency }) => efficiency },
  wasted: { unit: 'bytes', measure: ({ wastedBytes }) => wastedBytes, whole: stored },
  'user-wasted': { unit: 'share', measure: ({ userWasted }) => userWasted },
  size: { unit: 'bytes', measure: ({ size }) => size },
  layers: { unit: 'count', measure: ({ layers }) => layers.length },
  files: { unit: 'count', measure: ({ visible }) => visible.files },
  secrets: { unit: 'count', measure: ({ secrets }) => secrets.length },
  setuid: permission('setuid'),
  setgid: permission('setgid'),
  capabilities: permission('capabilities'),
  'world-writable': permission('world-writable'),
  overwritten: wasteOf('overwritten'),
  removed: wasteOf('removed'),
  metadata: wasteOf('metadata'),
  duplicate: wasteOf('duplicate'),
  cache: wasteOf('cache'),
  temporary: wasteOf('temporary'),
} as const satisfies Record<string, MetricRule>

export type Metric = keyof typeof metrics

/** Every metric a condition may name. */
export const metricNames = Object.keys(metrics) as readonly Metric[]

/** Unit of a metric. */
export function unitOf({ metric, isShare }: Condition): MetricRule['unit'] {
  return isShare ? 'share' : metrics[metric].unit
}

/**
 * Reads `METRIC` (more than none of it) or `METRIC<VALUE` with `<`, `<=`, `>` or `>=`. A value is a number, a percentage,
 * or a size in decimal or binary units (`20MB`, `20MiB`). Throws USAGE.
 */
export function parseCondition(text: string): Condition {
  const match = /^\s*([a-z-]+)\s*(?:([<>]=?)\s*(\S+)\s*)?$/.exec(text)
  const [, name = '', operator = '>', value = '0'] = match ?? []
  if (match === null || !isMetric(name))
    throw invalid(text, `Write METRIC or METRIC>VALUE; metrics are ${metricNames.join(', ')}.`)
  if (name === 'efficiency' && match[2] === undefined) throw invalid(text, 'Give a bound, as in efficiency<0.95.')
  const rule: MetricRule = metrics[name]
  const percentage = /^(\d+(?:\.\d+)?)%$/.exec(value)
  if (percentage !== null) {
    if (rule.unit !== 'share' && rule.whole === undefined)
      throw invalid(text, `A share of ${name} is a share of nothing.`)
    return {
      text: text.trim(),
      metric: name,
      operator: operator as Operator,
      limit: Number(percentage[1]) / 100,
      isShare: true,
    }
  }
  const limit = rule.unit === 'bytes' ? parseSize(value) : Number(/^\d+(?:\.\d+)?$/.exec(value)?.[0])
  if (Number.isNaN(limit))
    throw invalid(text, `${JSON.stringify(value)} is no ${rule.unit === 'bytes' ? 'size' : 'number'}.`)
  return { text: text.trim(), metric: name, operator: operator as Operator, limit, isShare: rule.unit === 'share' }
}

/** The conditions that are true of an image. */
export function checkBudget(analysis: ImageAnalysis, conditions: readonly Condition[]): readonly BudgetFailure[] {
  return conditions.flatMap((condition) => {
    const rule: MetricRule = metrics[condition.metric]
    const whole = condition.isShare && rule.unit !== 'share' ? (rule.whole?.(analysis) ?? 0) : 1
    const actual = whole === 0 ? 0 : rule.measure(analysis) / whole
    return operators[condition.operator](actual, condition.limit) ? [{ condition, actual }] : []
  })
}

/** The analysis without secrets and permissions that are known and accepted. */
export function withoutIgnored(analysis: ImageAnalysis, ignore: readonly IgnoredFinding[]): ImageAnalysis {
  if (ignore.length === 0) return analysis
  const matchers = ignore.map(({ rule, path, name }) => ({
    rule,
    name,
    glob: path === undefined ? undefined : new Bun.Glob(path),
  }))
  const isKept = (rule: string, path: string | undefined, name: string | undefined): boolean =>
    !matchers.some(
      (one) =>
        (one.rule === undefined || one.rule === rule) &&
        (one.name === undefined || one.name === name) &&
        (one.glob === undefined || (path !== undefined && one.glob.match(path))),
    )
  return {
    ...analysis,
    secrets: analysis.secrets.filter(({ rule, path, name }: SecretFinding) => isKept(rule, path, name)),
    permissions: analysis.permissions.filter(({ kind, path }) => isKept(kind, path, undefined)),
  }
}

function isMetric(name: string): name is Metric {
  return Object.hasOwn(metrics, name)
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}

/** Bytes of `20MB`, as sizes are printed; NaN for what is none. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text)
  const unit = units[(match?.[2] ?? '').toLowerCase()]
  return match === null || unit === undefined ? Number.NaN : Number(match[1]) * unit
}

function invalid(text: string, hint: string): CairnError {
  return new CairnError('USAGE', `invalid condition ${JSON.stringify(text)}`, { hint })
}
