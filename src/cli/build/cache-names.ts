import { listCacheMounts } from '../../content/cache-mounts.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for an argument that is a cache mount: ids. */
export async function cacheMountIds(ctx: CommandContext): Promise<readonly string[]> {
  return [...new Set(listCacheMounts(await ctx.use(openStoreOf)).map(({ id }) => id))]
}
