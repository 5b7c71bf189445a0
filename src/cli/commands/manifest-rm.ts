import { removeManifestLists } from '../../engine/images/manifest-lists.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreToFree } from '../open-store.ts'

export default defineCommand({
  usage: 'MANIFEST_LIST [MANIFEST_LIST...]',
  examples: [{ text: 'The list, not its images', command: 'cairn manifest rm app:1' }],
  args: { min: 1 },
  flags: {},
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, _flags, names) {
    const failures = await removeManifestLists(await ctx.use(openStoreToFree), names)
    for (const { message } of failures) ctx.stderr.write(`${message}\n`)
    return failures.length > 0 ? 1 : 0
  },
})
