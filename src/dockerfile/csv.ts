/** What is thrown for a line that cannot be read, made of Go's message for it. */
type Failure = (message: string) => Error

/**
 * Whose messages: of Go's encoding/csv, which docker's own flags are read with, or of go-csvvalue, which buildx and
 * BuildKit read with. They say the same in other words, and count columns otherwise where a quote is missing.
 */
type Dialect = 'encoding/csv' | 'go-csvvalue'

/**
 * The fields of one line of comma-separated values. A field may stand in double quotes, a quote within it doubled;
 * spaces count. Throws what `failure` makes of Go's message, which names the column, from 1, in bytes.
 */
export function csvFields(line: string, failure: Failure, dialect: Dialect = 'go-csvvalue'): string[] {
  const text = line.replace(/\r?\n$/, '')
  if (text === '') throw failure('EOF')
  const fields: string[] = []
  let position = 0
  for (;;) {
    if (text.charAt(position) === '"') {
      const { field, end } = quotedField(text, position, failure, dialect)
      fields.push(field)
      position = end
    } else {
      const comma = text.indexOf(',', position)
      const end = comma < 0 ? text.length : comma
      const quote = text.indexOf('"', position)
      const where = dialect === 'go-csvvalue' ? 'non-quoted-field' : 'non-quoted field'
      if (quote >= 0 && quote < end) throw failure(wrongAt(text, quote, `bare " in ${where}`))
      fields.push(text.slice(position, end))
      position = end
    }
    if (position === text.length) return fields
    position++
  }
}

/** A field of comma-separated values, taken apart at its first `=`. */
export interface CsvPair {
  readonly field: string
  readonly key: string
  /** Undefined where there is no `=`; the key is the whole field then. */
  readonly value: string | undefined
}

/** The fields as {@link csvFields} has them, each with its key and value. */
export function csvPairs(line: string, failure: Failure): CsvPair[] {
  return csvFields(line, failure).map((field) => {
    const equals = field.indexOf('=')
    if (equals < 0) return { field, key: field, value: undefined }
    return { field, key: field.slice(0, equals), value: field.slice(equals + 1) }
  })
}

/** The field that opens with the quote at `start`, and where the comma after it stands. */
function quotedField(text: string, start: number, failure: Failure, dialect: Dialect): { field: string; end: number } {
  let field = ''
  let position = start + 1
  for (;;) {
    const quote = text.indexOf('"', position)
    if (quote < 0) {
      const missing = dialect === 'go-csvvalue' ? position : text.length
      throw failure(wrongAt(text, missing, 'extraneous or missing " in quoted-field'))
    }
    field += text.slice(position, quote)
    const following = text.charAt(quote + 1)
    if (following === '' || following === ',') return { field, end: quote + 1 }
    if (following !== '"') throw failure(wrongAt(text, quote, 'extraneous or missing " in quoted-field'))
    field += '"'
    position = quote + 2
  }
}

function wrongAt(text: string, position: number, reason: string): string {
  const column = Buffer.byteLength(text.slice(0, position)) + 1
  return `parse error on line 1, column ${column}: ${reason}`
}
