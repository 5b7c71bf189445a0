import { restartContainer } from '../../engine/restart-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../container-names.ts'
import { forEachName } from '../each-container.ts'
import { openStoreOf } from '../open-store.ts'
import { stopFlags, stopOptions } from '../stop-flags.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [{ text: 'Without waiting for it to end by itself', command: 'cairn restart -t 0 web' }],
  args: { min: 1 },
  flags: stopFlags,
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    const options = { ...stopOptions(flags), signal: ctx.signal }
    return await forEachName(ctx, names, (name) => restartContainer(store, name, options))
  },
})
