import { findVolumes } from '../../engine/containers/volumes.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { renderListing } from '../printer.ts'
import { volumeListing } from '../containers/volume-listing.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [{ text: 'Volumes that no container has', command: 'cairn volume ls --filter dangling=true' }],
  args: { max: 0 },
  flags: {
    cluster: { type: 'bool', hidden: true, summary: 'Display only cluster volumes, of which there are none' },
    filter: { ...filterFlag, summary: 'Provide filter values (e.g. "dangling=true")' },
    format: listFormatFlag,
    quiet: { type: 'bool', short: 'q', summary: 'Only display volume names' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter)
    const store = await ctx.use(openStoreOf)
    const volumes = flags.cluster ? [] : findVolumes(store, filters)
    const isPlain = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isPlain ? '{{.Name}}' : flags.cluster && isPlain ? clusterTable : flags.format
    ctx.stdout.write(renderListing(volumeListing(store), volumes, format))
  },
})

const clusterTable = 'table {{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}'
