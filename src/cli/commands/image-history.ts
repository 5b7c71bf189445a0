import { historyOf } from '../../engine/images/image-history.ts'
import type { HistoryRow } from '../../images/history.ts'
import { defineCommand } from '../command.ts'
import { listFormatFlag } from '../format-flag.ts'
import { formatRfc3339 } from '../go-template/go-time.ts'
import { imageNames, shownId } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { checkedPlatformOfFlag } from '../platform-flag.ts'
import { ellipsis, type Listing, renderListing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  examples: [{ text: 'Which instruction made which bytes', command: 'cairn history --no-trunc alpine' }],
  args: { min: 1, max: 1 },
  flags: {
    format: listFormatFlag,
    human: { type: 'bool', short: 'H', default: true, summary: 'Print sizes and dates in human readable format' },
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    platform: {
      type: 'string',
      summary: 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    quiet: { type: 'bool', short: 'q', summary: 'Only show image IDs' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const platform = checkedPlatformOfFlag(flags.platform)
    const rows = await historyOf(await ctx.use(openStoreOf), name, platform)
    const isTable = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isTable ? '{{.ID}}' : flags.format
    ctx.stdout.write(renderListing(listing(!flags['no-trunc'], flags.human), rows, format))
  },
})

/** Times up to this one stand for an unknown one, as reproducible builds write it; docker shows no age of them. */
const firstAge = Date.UTC(2000, 0, 1)

/** Width of CREATED BY in a table. */
const createdByWidth = 45

function listing(trunc: boolean, human: boolean): Listing<HistoryRow> {
  const createdAt = ({ created }: HistoryRow): number => (created === undefined ? 0 : Date.parse(created))
  return {
    columns: {
      ID: {
        heading: 'IMAGE',
        value: ({ imageId }) => (imageId === undefined ? '<missing>' : shownId(imageId, trunc)),
      },
      CreatedSince: {
        heading: human ? 'CREATED' : 'CREATED AT',
        value: (row) => {
          if (!human) return formatRfc3339(createdAt(row))
          return createdAt(row) <= firstAge ? 'N/A' : formatAge(createdAt(row), Date.now())
        },
      },
      CreatedAt: { heading: 'CREATED AT', value: (row) => formatRfc3339(createdAt(row)) },
      CreatedBy: {
        heading: 'CREATED BY',
        value: ({ createdBy }) => {
          const line = createdBy.replaceAll('\t', ' ')
          return trunc ? ellipsis(line, createdByWidth) : line
        },
      },
      Size: { heading: 'SIZE', value: ({ size }) => (human ? formatByteSize(size, 3) : String(size)) },
      Comment: { heading: 'COMMENT', value: ({ comment }) => comment },
    },
    shown: ['ID', 'CreatedSince', 'CreatedBy', 'Size', 'Comment'],
  }
}
