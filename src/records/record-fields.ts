import type { Cause } from '../build/explain/miss.ts'
import type { StepReport } from '../build/step-reports.ts'
import { isJsonObject } from '../oci/descriptor.ts'

/** Whether a value out of JSON is what a field may hold. */
type Check = (value: unknown) => boolean

/** Latest moment that a Date can hold, in milliseconds. */
const latest = 8.64e15
/** A record's file name has 15 digits of the moment it began. */
const latestBeginning = 1e15
/** Lines of the longest file that a warning is about. */
const mostLines = 10_000_000

const text: Check = (value) => typeof value === 'string'
const flag: Check = (value) => typeof value === 'boolean'
const number: Check = (value) => typeof value === 'number'
const moment: Check = (value) => typeof value === 'number' && Math.abs(value) <= latest
const integer =
  (most: number): Check =>
  (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < most
const count = integer(Number.MAX_SAFE_INTEGER)
const line = integer(mostLines)

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value)
const object =
  (fields: Fields): Check =>
  (value) =>
    isJsonObject(value) && wrongField(value, fields) === undefined

type Fields = Readonly<Record<string, Check>>

/** The first of `fields` that `value` does not hold as it has to; undefined where all is well. Others it may have besides. */
export function wrongField(value: Readonly<Record<string, unknown>>, fields: Fields): string | undefined {
  for (const name in fields) if (fields[name]?.(value[name]) !== true) return name
  return undefined
}

const mention = object({ text, line })

const causeFields: Readonly<Record<Cause['kind'], Fields>> = {
  first: {},
  new: { after: optional(mention) },
  moved: { after: optional(mention) },
  flag: { flag: text },
  pruned: { what: text },
  instruction: { before: text },
  text: {},
  setting: { name: text, before: optional(text), now: optional(text) },
  secret: { name: text },
  variable: { name: text, change: text, before: optional(text), now: optional(text) },
  base: { before: text, now: text },
  file: { path: text, change: text, before: optional(text), now: optional(text) },
  more: { count },
  files: { label: text },
}

const cause: Check = (value) => {
  if (!isJsonObject(value) || typeof value['kind'] !== 'string') return false
  const { kind } = value
  return Object.hasOwn(causeFields, kind) && wrongField(value, causeFields[kind as Cause['kind']]) === undefined
}

const outcomes: Readonly<Record<StepReport['outcome'], true>> = {
  base: true,
  cached: true,
  ran: true,
  failed: true,
  canceled: true,
  unreached: true,
}

const step = object({
  id: text,
  title: text,
  text,
  kind: text,
  stage: text,
  line,
  inputs: list(text),
  outcome: oneOf(...Object.keys(outcomes)),
  miss: optional(object({ own: list(cause), inherited: optional(object({ step: mention, causes: list(cause) })) })),
  isFormerKept: optional(flag),
  origin: optional(text),
  advice: optional(list(text)),
})

/** Fields of the header, with its id, of `RecordHeader`. */
export const headerFields: Fields = {
  id: (value) => typeof value === 'string' && /^[a-z0-9]{25}$/.test(value),
  name: text,
  createdAt: integer(latestBeginning),
  context: text,
  dockerfile: text,
  target: optional(text),
  platforms: list(text),
  buildArgs: list(text),
  tags: list(text),
  cairnVersion: text,
}

/** Fields of `RecordEnd`. */
export const endFields: Fields = {
  completedAt: moment,
  status: oneOf('completed', 'error', 'canceled'),
  error: optional(
    object({
      code: text,
      message: text,
      step: optional(text),
      excerpt: optional(text),
      logTail: optional(list(text)),
    }),
  ),
  imageId: optional(text),
  digest: optional(text),
  steps: list(step),
  total: count,
  cached: count,
}

/** Fields of `RecordedSource`. */
export const sourceFields: Fields = { filename: text, text }

/** Fields of the line before output. */
export const logFields: Fields = { vertex: text, stream: oneOf(1, 2), timestamp: moment, size: count }

const warningSource: Check = (value) =>
  isJsonObject(value) &&
  wrongField(value, { filename: text, data: text, start: line, end: line, excerpt: text }) === undefined &&
  Number(value['start']) <= Number(value['end'])

/** Fields of the events that a record keeps as they are, by type: of `ProgressEvent` all but output. */
export const eventFields: Readonly<Record<string, Fields>> = {
  vertex: {
    id: text,
    name: text,
    inputs: optional(list(text)),
    started: optional(moment),
    completed: optional(moment),
    cached: optional(flag),
    error: optional(text),
    reason: optional(text),
  },
  status: {
    vertex: text,
    id: text,
    current: number,
    total: number,
    timestamp: moment,
    started: optional(moment),
    completed: optional(moment),
  },
  warning: {
    vertex: text,
    short: text,
    detail: optional(list(text)),
    url: optional(text),
    level: optional(number),
    source: optional(warningSource),
  },
}
