import { dropUnpackedLayers } from '../../engine/store/drop-unpacked-layers.ts'
import { pruneImages } from '../../engine/images/prune-images.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

const warnings = {
  dangling: 'WARNING! This will remove all dangling images.',
  all: 'WARNING! This will remove all images without at least one container associated to them.',
}

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'What the build cache keeps is not removed with its image.',
  examples: [
    { text: 'Images that nothing names any more', command: 'cairn image prune -f' },
    { text: 'Space of layers that are there twice', command: 'cairn image prune -f --unpacked' },
    { text: 'Everything unused that is older than ten days', command: 'cairn image prune -a --filter until=240h' },
  ],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Remove all unused images, not just dangling ones' },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
    unpacked: { type: 'bool', summary: 'Also remove unpacked copies of layers that no container has' },
  },
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter, '--filter')
    if (!flags.force && !(await confirm(ctx, flags.all ? warnings.all : warnings.dangling))) return
    const store = await ctx.use(openStoreToFree)
    const { removals, reclaimed } = await pruneImages(store, { all: flags.all, filters, signal: ctx.signal })
    if (removals.length > 0) {
      const lines = removals.map((one) => ('untagged' in one ? `untagged: ${one.untagged}` : `deleted: ${one.deleted}`))
      ctx.stdout.write(`Deleted Images:\n${lines.join('\n')}\n\n`)
    }
    const unpacked = flags.unpacked ? dropUnpackedLayers(store) : 0
    ctx.stdout.write(`Total reclaimed space: ${formatByteSize(reclaimed + unpacked)}\n`)
  },
})
