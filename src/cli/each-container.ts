import { isCairnError } from '../errors/error.ts'
import type { CommandContext } from './context.ts'

/**
 * Does `work` for each name and prints the name; what fails is told and does not keep the others from it. Gives the
 * exit status. Throws CANCELED.
 */
export async function forEachName(
  ctx: CommandContext,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<number> {
  let status = 0
  for (const name of names)
    try {
      await work(name)
      ctx.stdout.write(`${name}\n`)
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      ctx.stderr.write(`cairn: ${error.message}\n`)
      if (error.hint !== undefined) ctx.stderr.write(`${error.hint}\n`)
      status = 1
    }
  return status
}
