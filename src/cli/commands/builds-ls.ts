import { checkFilters } from '../../engine/filters.ts'
import { formatSeconds } from '../../progress/quantities.ts'
import { listRecords, type StoredRecord } from '../../records/build-records.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'Every build leaves a record: its log, times, and why its steps ran. The last hundred are kept.',
  examples: [
    { text: 'Builds that failed', command: 'cairn builds ls --filter status=error' },
    {
      text: 'How much of each came from the cache',
      command: "cairn builds ls --format '{{.Ref}} {{.CachedSteps}}/{{.TotalSteps}}'",
    },
  ],
  args: { max: 0 },
  flags: {
    filter: { ...filterFlag, summary: 'Filter output: "status=error", "name=app", "ref=ID"' },
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Only display ids' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const filters = parseFilters(flags.filter)
    checkFilters(filters, ['ref', 'name', 'status'])
    const suits = (name: string, value: string): boolean => {
      const wanted = filters.get(name)
      return wanted === undefined || wanted.includes(value)
    }
    const records = listRecords(await ctx.use(openStoreOf)).filter(
      ({ id, name, status }) => suits('ref', id) && suits('name', name) && suits('status', status),
    )
    const isPlain = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isPlain ? '{{.Ref}}' : flags.format
    ctx.stdout.write(renderListing(listing(!flags['no-trunc'], Date.now()), records, format))
  },
})

/** Characters of a name that a table shows, as buildx cuts it. */
const shownName = 36

const statusTexts = {
  running: 'Running',
  completed: 'Completed',
  error: 'Error',
  canceled: 'Canceled',
  interrupted: 'Interrupted',
} as const

function listing(trunc: boolean, now: number): Listing<StoredRecord> {
  const shorten = (text: string): string =>
    trunc && text.length > shownName ? `..${text.slice(text.length - shownName + 2)}` : text
  return {
    columns: {
      Ref: { heading: 'BUILD ID', value: ({ id }) => id },
      Name: { heading: 'NAME', value: ({ name }) => shorten(name) },
      Status: { heading: 'STATUS', value: ({ status }) => statusTexts[status] },
      CreatedAt: { heading: 'CREATED AT', value: ({ createdAt }) => formatAge(createdAt, now) },
      Duration: { heading: 'DURATION', value: (record) => durationText(record, now) },
      TotalSteps: { heading: 'STEPS', value: ({ end }) => String(end?.total ?? 0) },
      CachedSteps: { heading: 'CACHED', value: ({ end }) => String(end?.cached ?? 0) },
      Image: { heading: 'IMAGE', value: ({ end }) => end?.imageId ?? '' },
      Size: { heading: 'SIZE', value: ({ size }) => formatByteSize(size, 3) },
    },
    shown: ['Ref', 'Name', 'Status', 'CreatedAt', 'Duration'],
  }
}

/** `4.2s`, `1m 12s`, `3.0s+` while it runs; nothing for a build of which the end is not known. */
function durationText({ createdAt, status, end }: StoredRecord, now: number): string {
  if (end === undefined && status !== 'running') return ''
  const milliseconds = (end?.completedAt ?? now) - createdAt
  const seconds = Math.trunc(milliseconds / 1000)
  const text =
    seconds < 60 ? formatSeconds(milliseconds) : `${Math.trunc(seconds / 60)}m ${String(seconds % 60).padStart(2)}s`
  return end === undefined ? `${text}+` : text
}
