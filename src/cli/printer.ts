import { escapeMarkup } from '../oci/go-json.ts'
import { print } from './go-template/go-format.ts'
import { compileTemplate } from './go-template/go-template.ts'
import { toJson } from './go-template/template-functions.ts'

/**
 * The one printer of lists and objects: docker's `--format`. A format is nothing or `table` (the default columns),
 * `table TEMPLATE`, `json` (one object a line), or a Go template (once for each row).
 */
export interface Column<Row> {
  /** Heading in a table: `CREATED`. */
  readonly heading: string
  /** What templates see as `.Name`: a text, as all docker's are, unless there is a reason. Asked for only when shown. */
  value(row: Row): unknown
}

/** What a list is made of: columns by the name templates know them by. */
export interface Listing<Row> {
  readonly columns: Readonly<Record<string, Column<Row>>>
  /** Names of the columns shown without a template. */
  readonly shown: readonly string[]
  /** The labels of a row, for `{{.Label "key"}}`. */
  readonly labels?: (row: Row) => Readonly<Record<string, string>>
  /** A row as JSON, where that is not its columns. */
  readonly json?: (row: Row) => object
}

/**
 * The whole text of a list: lines that end with a newline. Throws USAGE (status 1) with Go's text where the template is
 * wrong.
 */
export function renderListing<Row>(listing: Listing<Row>, rows: readonly Row[], format = ''): string {
  if (format === 'json') return rows.map((row) => `${rowJson(listing, row)}\n`).join('')
  // docker takes `table{{.ID}}` for a table as well.
  const table = format === '' || format.startsWith('table')
  const given = expandEscapes(format.replace(/^table/, '').trim())
  const text = given === '' && table ? listing.shown.map((name) => `{{.${name}}}`).join('\t') : given
  const render = plainTemplate(listing, text) ?? rowTemplate(listing, text)
  const lines = rows.map((row) => `${render(row)}\n`)
  if (!table) return lines.join('')
  const headings = compileTemplate(text, { functions: headingFunctions }).render(headingFields(listing))
  return alignColumns([`${headings}\n`, ...lines].join(''))
}

type RenderRow<Row> = (row: Row) => string

function rowTemplate<Row>(listing: Listing<Row>, text: string): RenderRow<Row> {
  const template = compileTemplate(text, { functions: rowFunctions })
  return (row) => template.render(rowFields(listing, row))
}

/** A template of nothing but columns and text, as most are: its rows need no evaluator. Undefined for any other. */
function plainTemplate<Row>({ columns }: Listing<Row>, text: string): RenderRow<Row> | undefined {
  const [literal = '', ...rest] = text.split(/\{\{\s*\.(\w+)\s*\}\}/)
  const parts: { readonly column: Column<Row>; readonly literal: string }[] = []
  for (let index = 0; index < rest.length; index += 2) {
    const name = rest[index] ?? ''
    const column = Object.hasOwn(columns, name) ? columns[name] : undefined
    if (column === undefined) return undefined
    parts.push({ column, literal: rest[index + 1] ?? '' })
  }
  if (parts.some((part) => part.literal.includes('{{')) || literal.includes('{{')) return undefined
  return (row) => {
    let line = literal
    for (const part of parts) {
      const value = part.column.value(row)
      line += (typeof value === 'string' ? value : print([value])) + part.literal
    }
    return line
  }
}

/** `\t` and `\n`, which shells leave as they are, as what they mean. */
function expandEscapes(text: string): string {
  return text.replaceAll('\\t', '\t').replaceAll('\\n', '\n')
}

/** What `{{json .}}` gives for each row. */
const rowsOfTemplates = new WeakMap<object, () => string>()

/** What a template sees of one row: every column as a field computed when asked for. */
function rowFields<Row>(listing: Listing<Row>, row: Row): object {
  const fields = {}
  rowsOfTemplates.set(fields, () => rowJson(listing, row))
  for (const [name, column] of Object.entries(listing.columns))
    Object.defineProperty(fields, name, { enumerable: true, get: () => column.value(row) })
  const { labels } = listing
  if (labels !== undefined) {
    const value = (key: unknown): string => labels(row)[String(key)] ?? ''
    Object.defineProperty(fields, 'Label', { enumerable: false, value })
  }
  return fields
}

function headingFields<Row>(listing: Listing<Row>): object {
  const fields: Record<string, unknown> = {}
  for (const [name, column] of Object.entries(listing.columns)) fields[name] = column.heading
  if (listing.labels !== undefined)
    fields['Label'] = (key: unknown): string => (String(key).split('.').at(-1) ?? '').replace(/[-_]/g, ' ')
  return fields
}

/** `{{json .}}` gives a row as `--format json` does, `{{json .Field}}` any other value. */
const rowFunctions = {
  json: {
    parameters: ['any'],
    call: (value: unknown) =>
      (typeof value === 'object' && value !== null ? rowsOfTemplates.get(value)?.() : undefined) ?? toJson(value),
  },
} as const

/** Functions that would change a heading leave it as it is. */
const headingFunctions = Object.fromEntries(
  (
    [
      ['json', ['any']],
      ['title', ['any']],
      ['lower', ['any']],
      ['upper', ['any']],
      ['truncate', ['any', 'int']],
      ['pad', ['any', 'int', 'int']],
      ['split', ['any', 'any']],
      ['join', ['any', 'any']],
    ] as const
  ).map(([name, parameters]) => [name, { parameters, call: (value: unknown) => value }]),
)

function rowJson<Row>(listing: Listing<Row>, row: Row): string {
  return escapeMarkup(toJson(sorted(listing.json?.(row) ?? rowFields(listing, row))))
}

function sorted(fields: object): object {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The rows of a list as objects with the names that templates know, each value found out once. */
export function rowObjects<Row>(listing: Listing<Row>, rows: readonly Row[]): object[] {
  return rows.map((row) => sorted(rowFields(listing, row)))
}

/** Columns are at least ten cells wide with three between them, as docker's tables. */
const minimumWidth = 10
const padding = 3

/**
 * Lines with tabs as a table: each run of neighbouring lines that have a column aligns it (Go's text/tabwriter with
 * docker's settings). The last cell of a line is not padded. Widths are those of a terminal.
 */
export function alignColumns(text: string): string {
  const lines = text.split('\n').map((line) => line.split('\t'))
  const widths = lines.map((): number[] => [])
  const columns = Math.max(...lines.map((cells) => cells.length)) - 1
  for (let column = 0; column < columns; column++)
    for (let first = 0; first < lines.length;) {
      let end = first
      while (end < lines.length && (lines[end]?.length ?? 0) > column + 1) end++
      const block = lines.slice(first, end)
      const width = block.reduce(
        (widest, cells) => Math.max(widest, Bun.stringWidth(cells[column] ?? '') + padding),
        minimumWidth,
      )
      for (let line = first; line < end; line++) widths[line]?.push(width)
      first = Math.max(end, first + 1)
    }
  return lines
    .map((cells, line) => cells.map((cell, column) => padCell(cell, widths[line]?.[column] ?? 0)).join(''))
    .join('\n')
}

function padCell(cell: string, width: number): string {
  // The last cell of a line has no width.
  return width === 0 ? cell : cell + ' '.repeat(Math.max(0, width - Bun.stringWidth(cell)))
}

/**
 * Objects as `inspect` prints them: an indented JSON array, `json` for one on a single line, or a Go template once for
 * each. Throws USAGE (status 1) with Go's text.
 */
export function renderObjects(objects: readonly object[], format = ''): string {
  if (format === 'json') return `${toJson(objects)}\n`
  if (format === '') return `${JSON.stringify(JSON.parse(toJson(objects)), undefined, 4)}\n`
  const template = compileTemplate(format)
  return objects.map((object) => `${template.render(object)}\n`).join('')
}

/** `text` cut to `width` cells, the last one `…` where something was cut. */
export function ellipsis(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text
  return width <= 1 ? firstCells(text, width) : `${firstCells(text, width - 1)}…`
}

function firstCells(text: string, width: number): string {
  // Bun.sliceAnsi keeps a wide character that stands half over the end.
  const cut = Bun.sliceAnsi(text, 0, Math.max(0, width))
  return Bun.stringWidth(cut) <= width ? cut : Bun.sliceAnsi(text, 0, width - 1)
}
