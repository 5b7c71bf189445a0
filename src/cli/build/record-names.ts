import { listRecords } from '../../records/build-records.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for a build argument: ids of records. */
export async function recordIds(ctx: CommandContext): Promise<readonly string[]> {
  return listRecords(await ctx.use(openStoreOf)).map(({ id }) => id)
}
