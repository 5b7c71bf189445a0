/** A line of comma-separated values cannot be read; the message is Go's. */
export class CsvError extends Error {}

/**
 * The fields of one line of comma-separated values. A field may stand in double quotes, a quote within it doubled;
 * spaces count. Throws {@link CsvError} with the column, from 1, in bytes.
 */
export function splitCsv(line: string): string[] {
  const text = line.replace(/\r?\n$/, '')
  if (text === '') throw new CsvError('EOF')
  const fields: string[] = []
  let position = 0
  for (;;) {
    if (text.charAt(position) === '"') {
      const { field, end } = quotedField(text, position)
      fields.push(field)
      position = end
    } else {
      const comma = text.indexOf(',', position)
      const end = comma < 0 ? text.length : comma
      const quote = text.indexOf('"', position)
      if (quote >= 0 && quote < end) throw failure(text, quote, 'bare " in non-quoted-field')
      fields.push(text.slice(position, end))
      position = end
    }
    if (position === text.length) return fields
    position++
  }
}

/** The field that opens with the quote at `start`, and where the comma after it stands. */
function quotedField(text: string, start: number): { field: string; end: number } {
  let field = ''
  let position = start + 1
  for (;;) {
    const quote = text.indexOf('"', position)
    if (quote < 0) throw failure(text, position, 'extraneous or missing " in quoted-field')
    field += text.slice(position, quote)
    const following = text.charAt(quote + 1)
    if (following === '' || following === ',') return { field, end: quote + 1 }
    if (following !== '"') throw failure(text, quote, 'extraneous or missing " in quoted-field')
    field += '"'
    position = quote + 2
  }
}

/** As {@link splitCsv}; where that fails, throws what `failure` makes of the message. */
export function csvFields(line: string, failure: (message: string) => Error): string[] {
  try {
    return splitCsv(line)
  } catch (error) {
    throw error instanceof CsvError ? failure(error.message) : error
  }
}

function failure(text: string, position: number, reason: string): CsvError {
  const column = Buffer.byteLength(text.slice(0, position)) + 1
  return new CsvError(`parse error on line 1, column ${column}: ${reason}`)
}
