import { pruneContainers } from '../../engine/containers/remove-containers.ts'
import { defineCommand } from '../command.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [{ text: 'Remove what ended more than a day ago', command: 'cairn container prune --filter until=24h' }],
  args: { max: 0 },
  flags: {
    filter: {
      type: 'stringArray',
      value: 'filter',
      summary: 'Provide filter values (e.g. "until=<timestamp>")',
    },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    if (!flags.force) {
      ctx.stdout.write('WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ')
      const answer = (await ctx.stdin.line()) ?? ''
      if (!/^y(?:es)?$/i.test(answer.trim())) return
    }
    const { containers, reclaimed } = await pruneContainers(await ctx.use(openStoreToFree), filters)
    if (containers.length > 0) ctx.stdout.write(`Deleted Containers:\n${containers.map((id) => `${id}\n`).join('')}\n`)
    ctx.stdout.write(`Total reclaimed space: ${formatByteSize(reclaimed)}\n`)
  },
})
