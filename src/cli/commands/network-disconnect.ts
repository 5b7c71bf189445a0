import { disconnectContainer } from '../../containers/attach-network.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { resolveNetwork } from '../../networks/network-records.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { networkNames } from '../containers/network-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] NETWORK CONTAINER',
  examples: [{ text: 'Take a container from a network', command: 'cairn network disconnect shop postgres' }],
  args: { min: 2, max: 2 },
  flags: { force: { type: 'bool', short: 'f', summary: 'Force the container to disconnect from a network' } },
  complete: (ctx, _, args) => (args.length === 0 ? networkNames(ctx) : containerNames(ctx)),
  async run(ctx, _, [name = '', container = '']) {
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    const { id } = resolveContainer(store, container)
    await disconnectContainer(store, id, resolveNetwork(store, name))
  },
})
