import { restartContainer } from '../../engine/containers/restart-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { forEachName } from '../containers/each-container.ts'
import { openStoreOf } from '../open-store.ts'
import { stopFlags, stopOptions } from '../containers/stop-flags.ts'

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
