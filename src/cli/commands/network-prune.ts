import { pruneNetworks } from '../../engine/containers/networks.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreOf } from '../open-store.ts'

const warning = 'WARNING! This will remove all custom networks not used by at least one container.'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [{ text: 'Those of a project', command: 'cairn network prune -f --filter label=app=shop' }],
  args: { max: 0 },
  flags: {
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    if (!flags.force && !(await confirm(ctx, warning))) return
    const names = pruneNetworks(await ctx.use(openStoreOf), filters)
    if (names.length > 0) ctx.stdout.write(`Deleted Networks:\n${names.join('\n')}\n\n`)
  },
})
