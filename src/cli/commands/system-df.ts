import { type DiskUsage, diskUsage } from '../../engine/disk-usage.ts'
import { defineCommand } from '../command.ts'
import { listFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'SIZE is what is on disk: layers as they are stored and as they are unpacked, each once. A layer counts for the\nbuild cache only when no image has it.',
  examples: [{ text: 'What pruning would free', command: "cairn system df --format '{{.Type}}: {{.Reclaimable}}'" }],
  args: { max: 0 },
  flags: { format: listFormatFlag },
  output: 'collected',
  async run(ctx, flags) {
    ctx.stdout.write(renderListing(listing, diskUsage(await ctx.use(openStoreOf)), flags.format))
  },
})

const listing: Listing<DiskUsage> = {
  columns: {
    Type: { heading: 'TYPE', value: ({ type }) => type },
    TotalCount: { heading: 'TOTAL', value: ({ total }) => String(total) },
    Active: { heading: 'ACTIVE', value: ({ active }) => String(active) },
    Size: { heading: 'SIZE', value: ({ size }) => formatByteSize(size) },
    Reclaimable: {
      heading: 'RECLAIMABLE',
      value: ({ size, reclaimable }) => {
        const share = size === 0 ? '' : ` (${Math.trunc((reclaimable / size) * 100)}%)`
        return `${formatByteSize(reclaimable)}${share}`
      },
    },
  },
  shown: ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'],
}
