import { checkPruneFilters, type PrunedEverything, pruneEverything } from '../../engine/store/prune-everything.ts'
import { defineCommand } from '../command.ts'
import { confirm } from '../confirm.ts'
import { parseFilters } from '../filters.ts'
import { openStoreToFree } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'Volumes that were given a name stay in any case: see cairn volume prune -a.',
  examples: [
    { text: 'Everything that no container uses', command: 'cairn system prune -a' },
    { text: 'What is older than ten days', command: 'cairn system prune -af --filter until=240h' },
  ],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Remove all unused images not just dangling ones' },
    filter: { type: 'stringArray', value: 'filter', summary: 'Provide filter values (e.g. "label=<key>=<value>")' },
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
    volumes: { type: 'bool', summary: 'Prune anonymous volumes' },
  },
  async run(ctx, flags) {
    const { all, volumes } = flags
    const filters = parseFilters(flags.filter, '--filter')
    if (!flags.force) {
      checkPruneFilters(filters, volumes)
      if (!(await confirm(ctx, warning(all, volumes, flags.filter)))) return
    }
    const store = await ctx.use(openStoreToFree)
    ctx.stdout.write(report(await pruneEverything(store, { all, volumes, filters, signal: ctx.signal })))
  },
})

function warning(all: boolean, volumes: boolean, filters: readonly string[]): string {
  const things = [
    'all stopped containers',
    'all networks not used by at least one container',
    ...(volumes ? ['all anonymous volumes not used by at least one container'] : []),
    all ? 'all images without at least one container associated to them' : 'all dangling images',
    all ? 'all build cache' : 'unused build cache',
  ]
  const listed = (items: readonly string[]): string => items.map((item) => `  - ${item}\n`).join('')
  const filtered =
    filters.length === 0 ? '' : `\n  Items to be pruned will be filtered with:\n${listed(filters.toSorted())}`
  return `WARNING! This will remove:\n${listed(things)}${filtered}`
}

function report({ containers, networks, volumes, images, records, reclaimed }: PrunedEverything): string {
  const section = (title: string, items: readonly string[]): string =>
    items.length === 0 ? '' : `${title}:\n${items.map((item) => `${item}\n`).join('')}\n`
  return [
    section('Deleted Containers', containers),
    section('Deleted Networks', networks),
    section('Deleted Volumes', volumes),
    section(
      'Deleted Images',
      images.map((one) => ('untagged' in one ? `untagged: ${one.untagged}` : `deleted: ${one.deleted}`)),
    ),
    section(
      'Deleted build cache objects',
      records.map(({ id }) => id),
    ),
    `Total reclaimed space: ${formatByteSize(reclaimed)}\n`,
  ].join('')
}
