/** What is thrown for a line that cannot be read, made of Go's message for it. */
type Failure = (message: string) => Error

/**
 * The fields of one line of comma-separated values. A field may stand in double quotes, a quote within it doubled;
 * spaces count. Throws what `failure` makes of Go's message, which names the column, from 1, in bytes.
 */
export function csvFields(line: string, failure: Failure): string[] {
  const text = line.replace(/\r?\n$/, '')
  if (text === '') throw failure('EOF')
  const fields: string[] = []
  let position = 0
  for (;;) {
    if (text.charAt(position) === '"') {
      const { field, end } = quotedField(text, position, failure)
      fields.push(field)
      position = end
    } else {
      const comma = text.indexOf(',', position)
      const end = comma < 0 ? text.length : comma
      const quote = text.indexOf('"', position)
      if (quote >= 0 && quote < end) throw failure(wrongAt(text, quote, 'bare " in non-quoted-field'))
      fields.push(text.slice(position, end))
      position = end
    }
    if (position === text.length) return fields
    position++
  }
}

/** The field that opens with the quote at `start`, and where the comma after it stands. */
function quotedField(text: string, start: number, failure: Failure): { field: string; end: number } {
  let field = ''
  let position = start + 1
  for (;;) {
    const quote = text.indexOf('"', position)
    if (quote < 0) throw failure(wrongAt(text, position, 'extraneous or missing " in quoted-field'))
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
