import { pruneVolumes } from '../../engine/containers/volumes.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

const warnings = {
  anonymous: 'WARNING! This will remove anonymous local volumes not used by at least one container.',
  all: 'WARNING! This will remove all local volumes not used by at least one container.',
}

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'Volumes that were given a name stay unless -a is given.',
  examples: [
    {
      text: 'Every volume of a project that no container has',
      command: 'cairn volume prune -a --filter label=app=shop',
    },
  ],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Remove all unused volumes, not just anonymous ones' },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "label=<label>")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    if (flags.all && filters.has('all'))
      throw usageError('conflicting options: cannot specify both --all and --filter all=1')
    if (!flags.force && !(await confirm(ctx, flags.all ? warnings.all : warnings.anonymous))) return
    const { names, reclaimed } = pruneVolumes(await ctx.use(openStoreToFree), { all: flags.all, filters })
    if (names.length > 0) ctx.stdout.write(`Deleted Volumes:\n${names.join('\n')}\n\n`)
    ctx.stdout.write(`Total reclaimed space: ${formatByteSize(reclaimed)}\n`)
  },
})
