import { removeCacheMounts } from '../../engine/store/remove-cache-mounts.ts'
import { cacheMountIds } from '../build/cache-names.ts'
import { defineCommand } from '../command.ts'
import { openStoreToFree } from '../open-store.ts'

export default defineCommand({
  usage: 'CACHE [CACHE...]',
  description: 'CACHE is the id of the mount, which stands for all that have it, or the name of one.',
  examples: [{ text: 'Begin with an empty cache again', command: 'cairn cache rm /root/.npm' }],
  args: { min: 1 },
  flags: {},
  complete: (ctx) => cacheMountIds(ctx),
  async run(ctx, _flags, texts) {
    const failures = removeCacheMounts(await ctx.use(openStoreToFree), texts, (text) => ctx.stdout.write(`${text}\n`))
    for (const { message, hint } of failures)
      ctx.stderr.write(`cairn: ${message}\n${hint === undefined ? '' : `${hint}\n`}`)
    return failures.length > 0 ? 1 : 0
  },
})
