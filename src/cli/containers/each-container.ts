import { type CairnError, isCairnError } from '../../errors/error.ts'
import type { CommandContext } from '../context.ts'

/**
 * Does `work` for each name and prints the name; what fails is told at the end and does not keep the others from it. Gives the
 * exit status. Throws CANCELED.
 */
export async function forEachName(
  ctx: CommandContext,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<number> {
  const failures: CairnError[] = []
  for (const name of names)
    try {
      // oxlint-disable-next-line no-await-in-loop -- in the order of the names
      await work(name)
      ctx.stdout.write(`${name}\n`)
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push(error)
    }
  for (const { message, hint } of failures)
    ctx.stderr.write(`cairn: ${message}\n${hint === undefined ? '' : `\n${hint}\n`}`)
  return failures.length > 0 ? 1 : 0
}
