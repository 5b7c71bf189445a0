import { listTags } from '../../content/image-records.ts'
import { familiarString, parseNormalizedReference } from '../../oci/reference.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'

/** Candidates for an image argument: the names that have a tag. */
export async function imageNames(ctx: CommandContext): Promise<readonly string[]> {
  const tags = listTags(await ctx.use(openStoreOf))
  return tags
    .map(({ name }) => parseNormalizedReference(name))
    .flatMap((name) => (name.digest ? [] : [familiarString(name)]))
}

/** Twelve characters of an ID, as tables show it; the whole ID where `trunc` is false. */
export function shownId(id: string, trunc = true): string {
  return trunc ? id.slice(id.indexOf(':') + 1).slice(0, 12) : id
}
