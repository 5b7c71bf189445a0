import { type KeptSpace, pruneBuildCache } from '../../engine/store/prune-build-cache.ts'
import { prunedRecordDetails, prunedRecordsTable } from '../build/build-cache-listing.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

const warnings = {
  dangling: 'WARNING! This will remove all dangling build cache.',
  all: 'WARNING! This will remove all build cache.',
}

export default defineCommand({
  usage: '',
  description:
    'Removes what is kept for later builds, the one unused for longest first: results of steps that no image has (with\n-a all of them), cache mounts (RUN --mount=type=cache), what was fetched. What a build is using stays.',
  examples: [
    { text: 'What no build has used for a week', command: 'cairn builder prune -f --filter until=168h' },
    { text: 'The oldest, until 10 GB are left', command: 'cairn builder prune -f --max-used-space 10GB' },
    { text: 'Cache mounts only', command: 'cairn builder prune -f --filter type=exec.cachemount' },
  ],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Remove all build cache, not just dangling ones' },
    builder: {
      type: 'string',
      hidden: true,
      summary: 'Override the configured builder instance, of which there is one',
    },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
    'keep-storage': {
      type: 'bytes',
      default: 0,
      summary: 'Amount of disk space to keep for cache',
      deprecated: 'keep-storage flag has been changed to reserved-space',
    },
    'max-used-space': {
      type: 'bytes',
      default: 0,
      summary: 'Maximum amount of disk space allowed to keep for cache',
    },
    'min-free-space': { type: 'bytes', default: 0, summary: 'Target amount of free disk space after pruning' },
    'reserved-space': {
      type: 'bytes',
      default: 0,
      summary: 'Amount of disk space always allowed to keep for cache',
    },
    verbose: { type: 'bool', summary: 'Provide a more verbose output' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    if (!flags.force && !(await confirm(ctx, flags.all ? warnings.all : warnings.dangling, ' '))) return
    const space: KeptSpace = {
      reserved: Math.max(flags['reserved-space'], flags['keep-storage']),
      maxUsed: flags['max-used-space'],
      minFree: flags['min-free-space'],
    }
    const now = Date.now()
    const { records, reclaimed } = await pruneBuildCache(await ctx.use(openStoreToFree), {
      all: flags.all,
      filters,
      space,
      now,
      signal: ctx.signal,
    })
    if (records.length > 0)
      ctx.stdout.write(flags.verbose ? prunedRecordDetails(records, now) : prunedRecordsTable(records, now))
    ctx.stdout.write(`Total:\t${formatByteSize(reclaimed)}\n`)
  },
})
