import { listContainerRecords } from '../../containers/container-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a container argument: names. */
export async function containerNames(ctx: CommandContext): Promise<readonly string[]> {
  return listContainerRecords(await ctx.use(openStoreOf)).map(({ name }) => name)
}
