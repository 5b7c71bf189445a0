import { removeNetwork } from '../../engine/containers/networks.ts'
import { isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { networkNames } from '../containers/network-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'NETWORK [NETWORK...]',
  description: 'A network stays while a container that runs is attached to it.',
  examples: [{ text: 'Remove what may not even be there', command: 'cairn network rm -f shop' }],
  args: { min: 1 },
  flags: { force: { type: 'bool', short: 'f', summary: 'Do not error if the network does not exist' } },
  complete: (ctx) => networkNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    let status = 0
    for (const name of names)
      try {
        removeNetwork(store, name)
        ctx.stdout.write(`${name}\n`)
      } catch (error) {
        if (!isCairnError(error)) throw error
        if (flags.force && error.code === 'NETWORK_UNKNOWN') continue
        ctx.stderr.write(`cairn: ${error.message}\n`)
        status = 1
      }
    return status
  },
})
