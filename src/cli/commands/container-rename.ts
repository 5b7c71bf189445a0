import { renameContainer } from '../../engine/containers/rename-container.ts'
import { isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'CONTAINER NEW_NAME',
  examples: [{ text: 'Make room for a new one', command: 'cairn rename web web-old' }],
  args: { min: 2, max: 2 },
  flags: {},
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, _, [name = '', newName = '']) {
    const store = await ctx.use(openStoreOf)
    try {
      renameContainer(store, name, newName)
    } catch (error) {
      if (!isCairnError(error) || error.code === 'USAGE') throw error
      ctx.stderr.write(`cairn: ${error.message}\nError: failed to rename container named ${name}\n`)
      return 1
    }
    return 0
  },
})
