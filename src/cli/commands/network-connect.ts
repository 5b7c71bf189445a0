import { connectContainer } from '../../containers/attach-network.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { CairnError } from '../../errors/error.ts'
import { resolveNetwork } from '../../networks/network-records.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { checkAlias, endpointOf } from '../containers/network-flags.ts'
import { networkNames } from '../containers/network-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] NETWORK CONTAINER',
  examples: [{ text: 'Under a second name', command: 'cairn network connect --alias db shop postgres' }],
  args: { min: 2, max: 2 },
  flags: {
    alias: { type: 'stringSlice', value: 'strings', summary: 'Add network-scoped alias for the container' },
    'driver-opt': { type: 'stringSlice', hidden: true, summary: 'Not supported' },
    'gw-priority': { type: 'int', default: 0, hidden: true, summary: 'Not supported' },
    ip: { type: 'string', summary: 'IPv4 address (e.g., "172.30.100.104")' },
    ip6: { type: 'string', summary: 'IPv6 address (e.g., "2001:db8::33")' },
    link: { type: 'stringArray', hidden: true, summary: 'Not supported' },
    'link-local-ip': { type: 'stringSlice', hidden: true, summary: 'Not supported' },
  },
  complete: (ctx, _, args) => (args.length === 0 ? networkNames(ctx) : containerNames(ctx)),
  async run(ctx, flags, [name = '', container = '']) {
    for (const flag of ['driver-opt', 'gw-priority', 'link', 'link-local-ip'])
      if (ctx.given(flag)) throw new CairnError('NOT_SUPPORTED', `--${flag} is not supported`)
    const addresses = endpointOf(
      new Map([
        ['ip', flags.ip ?? ''],
        ['ip6', flags.ip6 ?? ''],
      ]),
    )
    const aliases = flags.alias.map(checkAlias)
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    const { id } = resolveContainer(store, container)
    const network = resolveNetwork(store, name)
    if (network.name === 'bridge' && (aliases.length > 0 || Object.keys(addresses).length > 0))
      throw new CairnError(
        'CONFIG_INVALID',
        aliases.length > 0
          ? 'network-scoped aliases are only supported for user-defined networks'
          : 'invalid endpoint settings:\nuser specified IP address is supported on user defined networks only',
      )
    await connectContainer(store, id, network, { network: network.name, aliases, ...addresses })
  },
})
