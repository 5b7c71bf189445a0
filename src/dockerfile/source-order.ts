import type { SourceRange } from './instruction.ts'

/** Order of two places in a Dockerfile with what it includes standing where the INCLUDEs are; for sorting. */
export function compareRanges(a: SourceRange, b: SourceRange): number {
  const [first, second] = [linesTo(a), linesTo(b)]
  for (const [level, line] of first.entries()) {
    const other = second[level]
    if (other === undefined) return 1
    if (line !== other) return line - other
  }
  return first.length - second.length
}

/** The line of the Dockerfile, then that of each included file down to the range. */
function linesTo(range: SourceRange): number[] {
  const lines = [range.start]
  for (let at = range.file?.includedAt; at !== undefined; at = at.file?.includedAt) lines.unshift(at.start)
  return lines
}

/** ` (included by Dockerfile:3, from base.df:2)`… for a place in an included file, else nothing. */
export function inclusionTrail(filename: string, range: SourceRange): string {
  const places: string[] = []
  for (let at = range.file?.includedAt; at !== undefined; at = at.file?.includedAt)
    places.push(`${at.file?.filename ?? filename}:${at.start}`)
  return places.length === 0 ? '' : ` (included from ${places.join(', from ')})`
}
