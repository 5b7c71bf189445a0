import { redactUrls } from '../errors/redact.ts'
import { printable, shorten } from './characters.ts'
import type { SourceRange } from './instruction.ts'

/** A file as an excerpt needs it: the name it was read under and its lines without line ends. */
export interface ExcerptSource {
  readonly filename: string
  readonly lines: readonly string[]
}

/** A marked range longer than this is shown by its first and last lines only. */
const maxMarked = 40
const shownAtEachEnd = 15
/** Characters shown of a line. */
const maxShown = 1000

/**
 * The lines of `range` (in `source`, or in the file it includes) marked with `>>>` and a few lines around them, in
 * BuildKit's form, without a line end after the last rule. Empty where the range lies outside the file. Control
 * characters are shown as `^X`, so that a file cannot drive the terminal; of long lines the beginning is shown. URLs are
 * shown without credentials: excerpts go to logs and records.
 */
export function renderExcerpt(source: ExcerptSource, range: SourceRange): string {
  const file = range.file ?? source
  const count = file.lines.length
  if (range.start < 1 || range.start > count) return ''
  const lastMarked = Math.min(Math.max(range.end, range.start), count)
  const [first, last] = padded(range.start, lastMarked, count)
  const hidden =
    lastMarked - range.start + 1 > maxMarked
      ? { from: range.start + shownAtEachEnd, to: lastMarked - shownAtEachEnd }
      : undefined

  const rule = '-'.repeat(20)
  const out = [`${file.filename}:${range.start}`, rule]
  for (let line = first; line <= last; line++) {
    if (hidden !== undefined && line === hidden.from) {
      out.push(`     | >>> … ${hidden.to - hidden.from + 1} more lines`)
      line = hidden.to
      continue
    }
    const mark = line >= range.start && line <= lastMarked ? '>>>' : '   '
    out.push(
      ` ${String(line).padStart(3)} | ${mark} ${printable(shorten(redactUrls(file.lines[line - 1] ?? ''), maxShown))}`,
    )
  }
  out.push(rule)
  return out.join('\n')
}

/** BuildKit's padding: two or four steps, each one line up and one line down where there is one. */
function padded(start: number, end: number, count: number): [number, number] {
  const steps = end === start ? 4 : 2
  let taken = 0
  while (taken < steps) {
    if (start > 1) {
      start--
      taken++
    }
    if (end !== count) {
      end++
      taken++
    }
    taken++
  }
  return [start, end]
}
