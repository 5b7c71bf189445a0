import { buildCacheFilter } from '../../engine/store/build-cache-filters.ts'
import { type BuildCacheRecord, buildCacheRecords } from '../../engine/store/build-cache-records.ts'
import { usageError } from '../../errors/error.ts'
import {
  buildCacheDetails,
  buildCacheJson,
  buildCacheListing,
  buildCacheSummary,
} from '../build/build-cache-listing.ts'
import { defineCommand } from '../command.ts'
import { parseFilters } from '../filters.ts'
import { openStoreOf } from '../open-store.ts'
import { renderListing } from '../printer.ts'

export default defineCommand({
  usage: '',
  description:
    'Lists what is kept for later builds: results of steps, cache mounts (exec.cachemount), git repositories and what\nis known of local contexts. Sizes are bytes on the disk; a star says that an image has it too.',
  examples: [
    { text: 'The cache mounts', command: 'cairn builder du --filter type=exec.cachemount' },
    { text: 'What no build has used for a week', command: 'cairn builder du --filter until=168h' },
  ],
  args: { max: 0 },
  flags: {
    builder: {
      type: 'string',
      hidden: true,
      summary: 'Override the configured builder instance, of which there is one',
    },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values' },
    format: { type: 'string', default: '', summary: 'Format the output: table, json, pretty or a Go template' },
    verbose: { type: 'bool', summary: 'Shorthand for "--format=pretty"' },
  },
  output: 'collected',
  async run(ctx, flags) {
    if (flags.verbose && flags.format !== '') throw usageError('--format and --verbose cannot be used together')
    const filters = parseFilters(flags.filter, '--filter')
    const now = Date.now()
    const suits = buildCacheFilter(filters, now)
    const records = buildCacheRecords(await ctx.use(openStoreOf)).filter(suits)
    const format = flags.verbose ? 'pretty' : flags.format
    ctx.stdout.write(render(records, format, now))
    // The sums are those of all records.
    if (filters.size === 0 && ['', 'table', 'pretty'].includes(format)) ctx.stdout.write(buildCacheSummary(records))
  },
})

function render(records: readonly BuildCacheRecord[], format: string, now: number): string {
  if (format === 'pretty') return buildCacheDetails(records, now)
  if (format === 'json' || format === '{{json .}}')
    return records.map((record) => `${buildCacheJson(record, now)}\n`).join('')
  return renderListing(buildCacheListing(now, format === '' || format === 'table'), records, format)
}
