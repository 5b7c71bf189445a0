import { type CairnError, isCairnError } from '../errors/error.ts'
import type { CommandContext } from './context.ts'
import { compileTemplate, objectSyntaxStatus } from './go-template/go-template.ts'
import { renderObjects } from './printer.ts'

/**
 * Prints what `inspect` finds of each name, as docker does: all that is there on stdout, as JSON or once for each by a Go
 * template, then a line on stderr for each failure. Gives the exit status. Throws USAGE (status 64) for a template that
 * cannot be read.
 */
export async function printInspections(
  ctx: CommandContext,
  names: readonly string[],
  format: string,
  inspect: (name: string) => Promise<object>,
): Promise<number> {
  const print = format === '' || format === 'json' ? jsonPrinter(format) : templatePrinter(format)
  const failures: CairnError[] = []
  for (const name of names) {
    let found: object
    try {
      // oxlint-disable-next-line no-await-in-loop -- failures come in the order of the names
      found = await inspect(name)
    } catch (error) {
      if (!isCairnError(error) || error.code === 'USAGE' || error.kind === 'canceled') throw error
      failures.push(error)
      continue
    }
    try {
      print.add(found)
    } catch (error) {
      if (!isCairnError(error)) throw error
      failures.push(error)
    }
  }
  ctx.stdout.write(print.text())
  for (const { message, hint } of failures)
    ctx.stderr.write(`Error: ${message}\n${hint === undefined ? '' : `\n${hint}\n`}`)
  return failures.length > 0 ? 1 : 0
}

interface Printer {
  readonly add: (object: object) => void
  readonly text: () => string
}

function jsonPrinter(format: '' | 'json'): Printer {
  const objects: object[] = []
  return { add: (object) => objects.push(object), text: () => renderObjects(objects, format) }
}

function templatePrinter(format: string): Printer {
  const template = compileTemplate(format, { syntaxStatus: objectSyntaxStatus })
  const lines: string[] = []
  // Where nothing was found there is still a line.
  return { add: (object) => lines.push(template.render(object)), text: () => `${lines.join('\n')}\n` }
}
