import { listNetworks } from '../../networks/network-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a network argument. */
export async function networkNames(ctx: CommandContext): Promise<readonly string[]> {
  return listNetworks(await ctx.use(openStoreOf)).map(({ name }) => name)
}
