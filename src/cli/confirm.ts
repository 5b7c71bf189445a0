import type { CommandContext } from './context.ts'

/**
 * Asks before something is removed, as docker does: `y` alone is yes.
 *
 * @param gap - what stands between the warning and the question
 */
export async function confirm(ctx: CommandContext, warning: string, gap: '\n' | ' ' = '\n'): Promise<boolean> {
  ctx.stdout.write(`${warning}${gap}Are you sure you want to continue? [y/N] `)
  const answer = await ctx.stdin.line()
  return answer?.trim().toLowerCase() === 'y'
}
