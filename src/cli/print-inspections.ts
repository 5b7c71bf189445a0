import { isCairnError } from '../errors/error.ts'
import type { CommandContext } from './context.ts'
import { renderObjects } from './printer.ts'

/**
 * Prints what `inspect` finds of each name, as docker does: all that is there on stdout, then a line on stderr for each
 * failure. Gives the exit status.
 */
export async function printInspections(
  ctx: CommandContext,
  names: readonly string[],
  format: string,
  inspect: (name: string) => Promise<object>,
): Promise<number> {
  const objects: object[] = []
  const failures: string[] = []
  for (const name of names) {
    try {
      objects.push(await inspect(name))
    } catch (error) {
      if (!isCairnError(error) || error.code === 'USAGE' || error.kind === 'canceled') throw error
      failures.push(`Error: ${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`)
    }
  }
  ctx.stdout.write(renderObjects(objects, format))
  for (const failure of failures) ctx.stderr.write(failure)
  return failures.length > 0 ? 1 : 0
}
