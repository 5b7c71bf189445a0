import { cleanUpContainer } from '../../engine/containers/revive-container.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'ID',
  args: { min: 1, max: 1 },
  flags: {},
  async run(ctx, _, [id = '']) {
    cleanUpContainer(await ctx.use(openStoreOf), id)
  },
})
