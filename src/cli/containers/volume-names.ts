import { listVolumes } from '../../containers/volume-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a volume argument. Never throws. */
export async function volumeNames(ctx: CommandContext): Promise<readonly string[]> {
  try {
    return listVolumes(await ctx.use(openStoreOf)).map(({ name }) => name)
  } catch {
    return []
  }
}
