import type { CommandContext } from './context.ts'

/** Asks before something is removed, as docker does: `y` alone is yes. */
export async function confirm(ctx: CommandContext, warning: string): Promise<boolean> {
  ctx.stdout.write(`${warning}\nAre you sure you want to continue? [y/N] `)
  const answer = await ctx.stdin.line()
  return answer?.trim().toLowerCase() === 'y'
}
