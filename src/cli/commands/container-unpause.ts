import { releaseContainer } from '../../engine/containers/pause-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { forEachName } from '../containers/each-container.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  examples: [{ text: 'Let them go on', command: 'cairn unpause web' }],
  args: { min: 1 },
  flags: {},
  complete: (ctx) => containerNames(ctx),
  async run(ctx, _, names) {
    const store = await ctx.use(openStoreOf)
    return await forEachName(ctx, names, (name) => releaseContainer(store, name))
  },
})
