import { listNetworks } from '../../networks/network-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a network argument. Never throws. */
export async function networkNames(ctx: CommandContext): Promise<readonly string[]> {
  try {
    return listNetworks(await ctx.use(openStoreOf)).map(({ name }) => name)
  } catch {
    return []
  }
}
