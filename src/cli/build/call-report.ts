import type { CheckReport } from '../../engine/build/check-build.ts'
import type { TargetReport } from '../../engine/build/list-targets.ts'
import type { OutlineReport } from '../../engine/build/outline-build.ts'
import { renderExcerpt } from '../../dockerfile/excerpt.ts'
import type { LintedText } from '../../engine/build/lint.ts'
import type { IncludedFile, SourceRange } from '../../dockerfile/instruction.ts'
import { compareRanges } from '../../dockerfile/source-order.ts'
import { escapeMarkup } from '../../oci/go-json.ts'

/** What a `--call` gives: the same twice, for people and for programs. Texts and fields are those of BuildKit. */
export interface CallReport {
  readonly text: string
  readonly json: object
}

/**
 * What `--call=check` found: the warnings by line, without what docker says above and below them. `path` is the
 * Dockerfile as the user would name it.
 */
export function checkReport({ text, findings, problems }: CheckReport, path: string): CallReport {
  const sources: (LintedText | IncludedFile)[] = text === undefined ? [] : [text]
  for (const { range } of findings)
    if (range.file !== undefined && !sources.includes(range.file)) sources.push(range.file)
  const locate = (range: SourceRange): Location =>
    location(range, range.file === undefined ? 0 : sources.indexOf(range.file))
  const ranges = problems.flatMap(({ range }) => (range === undefined ? [] : [range]))
  // BuildKit counts what follows the last line end as a line.
  const endsInLine = text !== undefined && decode(text.source).endsWith('\n')
  const shown =
    text === undefined ? undefined : { filename: path, lines: endsInLine ? [...text.lines, ''] : text.lines }
  return {
    text: findings
      .toSorted((a, b) => compareRanges(a.range, b.range))
      .map(({ rule: { name, url }, detail, range }) => {
        const excerpt = shown === undefined ? '' : renderExcerpt(shown, range)
        return `\nWARNING: ${name}${url === undefined ? '' : ` - ${url}`}\n${detail}\n${excerpt === '' ? '' : `${excerpt}\n`}`
      })
      .join(''),
    json: {
      warnings:
        findings.length === 0
          ? null
          : findings.map(({ rule, detail, range }) => ({
              ruleName: rule.name,
              description: rule.description,
              ...(rule.url === undefined ? {} : { url: rule.url }),
              detail,
              location: locate(range),
            })),
      sources: sources.map(({ filename, source }) => ({ filename, data: base64(source), language: 'Dockerfile' })),
      ...(problems.length === 0
        ? {}
        : {
            buildError: {
              message: problems.map(({ message }) => message).join('\n'),
              location: ranges.length === 0 ? {} : mergeLocations(ranges.map(locate)),
            },
          }),
    },
  }
}

/** What `--call=outline` gives. */
export function outlineReport({ outline, source }: OutlineReport): CallReport {
  const { name, description, args, secrets, ssh } = outline
  const grants = (heading: string, list: typeof secrets): string =>
    table(
      [heading, 'REQUIRED'],
      list.map((grant) => [grant.name, grant.required ? 'true' : '']),
    )
  const head = [
    ...(name === '' && description === '' ? [] : [['TARGET:', name === '' ? '(default)' : name]]),
    ...(description === '' ? [] : [['DESCRIPTION:', description]]),
  ]
  return {
    text: [
      head.length === 0 ? '' : `${alignCells(head, 1)}\n`,
      table(
        ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
        args.map((arg) => [arg.name, arg.value, arg.description]),
      ),
      grants('SECRET', secrets),
      grants('SSH', ssh),
    ].join(''),
    json: {
      ...texts({ name, description }),
      ...list(
        'args',
        args.map((arg) => ({
          name: arg.name,
          ...texts({ description: arg.description, value: arg.value }),
          location: location(arg.range),
        })),
      ),
      ...list('secrets', secrets.map(grantJson)),
      ...list('ssh', ssh.map(grantJson)),
      sources: [base64(source)],
    },
  }
}

function grantJson({ name, required, range }: OutlineReport['outline']['secrets'][number]): object {
  return { name, ...(required ? { required } : {}), location: location(range) }
}

/** What `--call=targets` gives. */
export function targetReport({ targets, source }: TargetReport): CallReport {
  const shown = (name: string, isDefault: boolean): string =>
    isDefault ? (name === '' ? '(default)' : `${name} (default)`) : name
  return {
    text: alignCells(
      [
        ['TARGET', 'DESCRIPTION'],
        ...targets.map(({ name, isDefault, description }) => [shown(name, isDefault), description]),
      ],
      1,
    ),
    json: {
      targets: targets.map(({ name, isDefault, description, base, platform, range }) => ({
        ...texts({ name }),
        ...(isDefault ? { default: true } : {}),
        ...texts({ description, base, platform }),
        location: location(range),
      })),
      sources: [base64(source)],
    },
  }
}

/** What `--call=subrequests.describe` gives: the requests that BuildKit's frontend describes. */
export function describeReport(): CallReport {
  const requests = [
    {
      name: 'frontend.outline',
      description: 'List all parameters current build target supports',
      opts: [{ name: 'target', description: 'Target build stage' }],
    },
    { name: 'frontend.targets', description: 'List all targets current build supports', opts: [] },
    { name: 'frontend.subrequests.describe', description: 'List available subrequest types', opts: null },
  ]
  const version = '1.0.0'
  const metadata = ['result.json', 'result.txt'].map((name) => ({ name, description: '' }))
  const rows = requests.map(({ name, description }) => [name.replace('frontend.', ''), version, description])
  return {
    text: alignCells([['NAME', 'VERSION', 'DESCRIPTION'], ...rows], 1),
    json: requests.map(({ name, description, opts }) => ({
      name,
      version,
      type: 'rpc',
      description,
      opts,
      inputs: null,
      metadata,
      refs: null,
    })),
  }
}

/** JSON as Go's encoder indents it, without a line end. */
export function reportJson(value: object): string {
  return escapeMarkup(JSON.stringify(value, undefined, 2))
}

interface Location {
  readonly sourceIndex?: number
  readonly ranges: readonly object[]
}

function location({ start, end }: SourceRange, sourceIndex = 0): Location {
  // BuildKit gives every line a range of its own.
  const ranges = Array.from({ length: end - start + 1 }, (_, index) => {
    const line = start + index
    return { start: { line }, end: { line } }
  })
  return { ...(sourceIndex > 0 ? { sourceIndex } : {}), ranges }
}

/** Every range under the first one's file; BuildKit stops at the first problem. */
function mergeLocations(locations: readonly Location[]): object {
  return { ...locations[0], ranges: locations.flatMap(({ ranges }) => ranges) }
}

/** The fields that are not empty. */
function texts(fields: Readonly<Record<string, string>>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== ''))
}

function list(name: string, entries: readonly object[]): object {
  return entries.length === 0 ? {} : { [name]: entries }
}

function decode(source: Uint8Array | string): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source.subarray(-1))
}

function base64(source: Uint8Array | string): string {
  return (typeof source === 'string' ? new TextEncoder().encode(source) : source).toBase64()
}

/** A table and an empty line; nothing without rows. */
function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : `${alignCells([heading, ...rows], 3)}\n`
}

/** Columns as wide as their widest cell and `padding` more, but the last (Go's text/tabwriter). */
function alignCells(rows: readonly (readonly string[])[], padding: number): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => Bun.stringWidth(row[column] ?? '')))) ?? []
  const pad = (cell: string, width: number): string => cell + ' '.repeat(width + padding - Bun.stringWidth(cell))
  return rows
    .map(
      (row) =>
        `${row.map((cell, column) => (column === row.length - 1 ? cell : pad(cell, widths[column] ?? 0))).join('')}\n`,
    )
    .join('')
}
