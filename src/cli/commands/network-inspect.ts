import { recoverContainers } from '../../containers/recovery.ts'
import { inspectNetwork } from '../../engine/containers/networks.ts'
import { resolveNetwork } from '../../networks/network-records.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { networkNames } from '../containers/network-names.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'

export default defineCommand({
  usage: '[OPTIONS] NETWORK [NETWORK...]',
  examples: [
    {
      text: 'The addresses of a network',
      command: "cairn network inspect -f '{{(index .IPAM.Config 0).Subnet}}' shop",
    },
  ],
  args: { min: 1 },
  flags: {
    format: objectFormatFlag,
    verbose: { type: 'bool', short: 'v', summary: 'Verbose output for diagnostics' },
  },
  output: 'collected',
  complete: (ctx) => networkNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    return await printInspections(ctx, names, flags.format, (name) =>
      Promise.resolve().then(() => inspectNetwork(store, resolveNetwork(store, name))),
    )
  },
})
