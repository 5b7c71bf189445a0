/** The text of a file cut into lines. */
export interface SourceLines {
  /** Lines with their line ends, as here-document bodies keep them. */
  readonly raw: readonly string[]
  /** Lines without line ends. */
  readonly lines: readonly string[]
  /** Numbers, from 1, of lines that are not UTF-8; their bad bytes were replaced by U+FFFD. */
  readonly invalid: ReadonlySet<number>
  /** Number of the first line longer than {@link maxLineBytes}, if any. */
  readonly overlong: number | undefined
}

/** Bytes a line may have without its `\n`, as in BuildKit. */
export const maxLineBytes = 65535

/** Cuts `source` at each `\n`. A byte order mark is dropped; bytes are read as UTF-8. */
export function splitSource(source: Uint8Array | string): SourceLines {
  const { text, invalid } = typeof source === 'string' ? { text: source, invalid: noLines } : decode(source)
  const unmarked = text.startsWith('\ufeff') ? text.slice(1) : text
  const raw: string[] = []
  let start = 0
  while (start < unmarked.length) {
    const end = unmarked.indexOf('\n', start)
    const next = end < 0 ? unmarked.length : end + 1
    raw.push(unmarked.slice(start, next))
    start = next
  }
  const overlong = raw.findIndex(isOverlong)
  return { raw, lines: raw.map(withoutLineEnd), invalid, overlong: overlong < 0 ? undefined : overlong + 1 }
}

/** `line` without the `\r` and `\n` at its end. */
export function withoutLineEnd(line: string): string {
  let end = line.length
  while (end > 0 && (line.charCodeAt(end - 1) === 0x0a || line.charCodeAt(end - 1) === 0x0d)) end--
  return end === line.length ? line : line.slice(0, end)
}

const noLines: ReadonlySet<number> = new Set()

function isOverlong(line: string): boolean {
  if (line.length * 3 <= maxLineBytes) return false
  const content = line.endsWith('\n') ? line.slice(0, -1) : line
  return content.length > maxLineBytes || Buffer.byteLength(content) > maxLineBytes
}

function decode(bytes: Uint8Array): { text: string; invalid: ReadonlySet<number> } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), invalid: noLines }
  } catch {
    return { text: new TextDecoder('utf-8').decode(bytes), invalid: invalidLines(bytes) }
  }
}

function invalidLines(bytes: Uint8Array): ReadonlySet<number> {
  const strict = new TextDecoder('utf-8', { fatal: true })
  const invalid = new Set<number>()
  let start = 0
  for (let number = 1; start < bytes.length; number++) {
    const end = bytes.indexOf(0x0a, start)
    const next = end < 0 ? bytes.length : end + 1
    try {
      strict.decode(bytes.subarray(start, next))
    } catch {
      invalid.add(number)
    }
    start = next
  }
  return invalid
}
