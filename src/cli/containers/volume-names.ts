import { listVolumes } from '../../containers/volume-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a volume argument. */
export async function volumeNames(ctx: CommandContext): Promise<readonly string[]> {
  return listVolumes(await ctx.use(openStoreOf)).map(({ name }) => name)
}
