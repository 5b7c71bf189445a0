import { renderObjects } from '../printer.ts'

/** A report as `--format` asks for it: nothing for `text`, `json` for the object on one line, else a Go template. */
export function renderReport(report: object, format: string, text: () => string): string {
  if (format === '') return text()
  return format === 'json' ? `${JSON.stringify(report)}\n` : renderObjects([report], format)
}
