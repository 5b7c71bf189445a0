import { findNetworks } from '../../engine/containers/networks.ts'
import type { Network } from '../../networks/network.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { formatGoTime } from '../go-template/go-time.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing } from '../printer.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [{ text: 'Networks that nothing uses', command: 'cairn network ls --filter dangling=true' }],
  args: { max: 0 },
  flags: {
    filter: { ...filterFlag, summary: 'Provide filter values (e.g. "driver=bridge")' },
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: 'Do not truncate the output' },
    quiet: { type: 'bool', short: 'q', summary: 'Only display network IDs' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const networks = findNetworks(await ctx.use(openStoreOf), parseFilters(flags.filter))
    const isPlain = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isPlain ? '{{.ID}}' : flags.format
    ctx.stdout.write(renderListing(listing(!flags['no-trunc']), networks, format))
  },
})

const shownDigits = 12

function listing(trunc: boolean): Listing<Network> {
  return {
    columns: {
      ID: { heading: 'NETWORK ID', value: ({ id }) => (trunc ? id.slice(0, shownDigits) : id) },
      Name: { heading: 'NAME', value: ({ name }) => name },
      Driver: { heading: 'DRIVER', value: ({ driver }) => driver },
      Scope: { heading: 'SCOPE', value: () => 'local' },
      IPv4: { heading: 'IPV4', value: ({ settings }) => String(settings.ipv4) },
      IPv6: { heading: 'IPV6', value: ({ settings }) => String(settings.ipv6) },
      Internal: { heading: 'INTERNAL', value: ({ settings }) => String(settings.internal) },
      Labels: {
        heading: 'LABELS',
        value: ({ settings }) =>
          Object.entries(settings.labels)
            .map(([key, value]) => `${key}=${value}`)
            .join(','),
      },
      CreatedAt: { heading: 'CREATED AT', value: ({ createdAt }) => formatGoTime(createdAt) },
    },
    shown: ['ID', 'Name', 'Driver', 'Scope'],
    labels: ({ settings }) => settings.labels,
  }
}
