import type { WarningEvent } from './events.ts'

/** How the list of warnings is shown. */
export interface WarningListOptions {
  /** With what each one means, where to read more, and the lines it is about. */
  readonly expanded: boolean
  /** The heading in yellow, for a terminal. */
  readonly colored: boolean
}

/** buildx's list of warnings below a build, or nothing where there is none. */
export function renderWarnings(warnings: readonly WarningEvent[], { expanded, colored }: WarningListOptions): string {
  if (warnings.length === 0) return ''
  const count = warnings.length === 1 ? '1 warning found' : `${warnings.length} warnings found`
  const heading = `${count}${expanded ? '' : ' (use cairn --debug to expand)'}:`
  const lines = warnings.map((warning) => ` - ${warning.short}\n${expanded ? details(warning) : ''}`)
  return `\n ${colored ? `\u001b[33m${heading}\u001b[0m` : heading}\n${lines.join('')}`
}

function details({ detail = [], url, source }: WarningEvent): string {
  const lines = [...detail, ...(url === undefined ? [] : [`More info: ${url}`])]
  if (source !== undefined && source.excerpt !== '') lines.push(source.excerpt)
  return `${lines.map((line) => `${line}\n`).join('')}\n`
}
