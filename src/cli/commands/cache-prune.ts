import { pruneCacheMounts } from '../../engine/store/remove-cache-mounts.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Removes the cache mounts (RUN --mount=type=cache) that no build is using, all or those that suit the filters.',
  examples: [
    { text: 'What nobody has used for a month', command: 'cairn cache prune -f --filter until=720h' },
    { text: 'All caches of one id', command: 'cairn cache prune -f --filter id=npm' },
  ],
  args: { max: 0 },
  flags: {
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "id=npm", "until=24h")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    const which =
      filters.size === 0 ? 'all cache mounts that no build is using' : 'the cache mounts that suit the filters'
    if (!flags.force && !(await confirm(ctx, `WARNING! This will remove ${which}.`))) return
    const { mounts, reclaimed } = pruneCacheMounts(await ctx.use(openStoreToFree), filters)
    if (mounts.length > 0)
      ctx.stdout.write(`Deleted cache mounts:\n${mounts.map(({ name, id }) => `${name} ${id}\n`).join('')}\n`)
    ctx.stdout.write(`Total reclaimed space: ${formatByteSize(reclaimed)}\n`)
  },
})
