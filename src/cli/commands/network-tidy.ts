import { tidyLingering } from '../../containers/lingering-network.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '',
  args: { min: 0, max: 0 },
  flags: {},
  async run(ctx) {
    await tidyLingering(ctx.root, () => ctx.use(openStoreOf))
  },
})
