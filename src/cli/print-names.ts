import type { CommandContext } from './context.ts'
import { compileTemplate } from './go-template/go-template.ts'

export interface NamesOptions {
  /** What templates see a name as: `Tag`. */
  readonly field: string
  /** At most so many; 0 for all. */
  readonly limit: number
  /** Nothing, `json`, or a Go template. */
  readonly format: string
}

/** Lines are gathered up to so many characters before they are written. */
const batch = 16 * 1024

/** Prints names as they come, one a line. Throws USAGE (status 1) for a template that cannot be read. */
export async function printNames(
  ctx: CommandContext,
  names: AsyncIterable<string>,
  { field, limit, format }: NamesOptions,
): Promise<void> {
  const template = format === '' || format === 'json' ? undefined : compileTemplate(format)
  const render = (name: string): string => {
    if (template !== undefined) return template.render({ [field]: name })
    return format === 'json' ? JSON.stringify({ [field]: name }) : name
  }
  let lines = ''
  let count = 0
  for await (const name of names) {
    lines += `${render(name)}\n`
    count++
    if (lines.length < batch && count !== limit) continue
    ctx.stdout.write(lines)
    lines = ''
    if (count === limit) break
  }
  if (lines !== '') ctx.stdout.write(lines)
}
