import { pruneBuildCache } from '../../engine/prune-build-cache.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

const warnings = {
  mounts: 'WARNING! This will remove all cache mounts that no build is using.',
  dangling: 'WARNING! This will remove all dangling build cache.',
  all: 'WARNING! This will remove all build cache.',
}

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Forgets results of build steps that no image has, and with -a all of them. The directories of cache mounts\n(RUN --mount=type=cache) stay: see cairn cache prune, or filter by type=exec.cachemount.',
  examples: [{ text: 'What no build has used for a week', command: 'cairn builder prune -f --filter until=168h' }],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Remove all build cache, not just dangling ones' },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "until=24h")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    const isMounts = filters.get('type')?.includes('exec.cachemount') === true
    const warning = isMounts ? warnings.mounts : flags.all ? warnings.all : warnings.dangling
    if (!flags.force && !(await confirm(ctx, warning))) return
    const store = await ctx.use(openStoreToFree)
    const { keys, reclaimed } = await pruneBuildCache(store, { all: flags.all, filters, signal: ctx.signal })
    if (keys.length > 0) ctx.stdout.write(`Deleted build cache objects:\n${keys.join('\n')}\n\n`)
    ctx.stdout.write(`Total reclaimed space: ${formatByteSize(reclaimed)}\n`)
  },
})
