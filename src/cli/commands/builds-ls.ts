import { printable } from '../../dockerfile/characters.ts'
import { completedSteps } from '../../records/record.ts'
import { listRecords, type StoredRecord } from '../../records/build-records.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { filterFlag } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { recordFilter } from '../build/record-filters.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatDuration } from '../../progress/quantities.ts'
import { formatAge, formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'Every build leaves a record: its log, times, and why its steps ran. The last hundred are kept.',
  examples: [
    { text: 'Builds that failed', command: 'cairn builds ls --filter status=error' },
    { text: 'Slow ones of today', command: "cairn builds ls --filter 'duration>1m' --filter 'startedAt>24h'" },
    {
      text: 'How much of each came from the cache',
      command: "cairn builds ls --format '{{.Ref}} {{.CachedSteps}}/{{.TotalSteps}}'",
    },
  ],
  args: { max: 0 },
  flags: {
    builder: builderFlag,
    filter: { ...filterFlag, summary: 'Filter output: "status=error", "name!=app", "duration>1m", …' },
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Only display ids' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const now = Date.now()
    const suits = recordFilter(flags.filter, now)
    const records = listRecords(await ctx.use(openStoreOf)).filter(suits)
    const isPlain = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isPlain ? '{{.Ref}}' : flags.format
    ctx.stdout.write(renderListing(listing(!flags['no-trunc'], now), records, format))
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
  const shorten = (text: string): string => {
    // Of a record that was imported it may be anything.
    const line = printable(text.replaceAll(/\s+/g, ' '))
    return trunc && line.length > shownName ? `..${line.slice(line.length - shownName + 2)}` : line
  }
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
    json: jsonOf,
  }
}

/** With the keys of buildx, and the image and bytes on disk besides. */
function jsonOf({ id, name, status, createdAt, size, end }: StoredRecord): object {
  return {
    ref: id,
    name,
    status: statusTexts[status],
    created_at: new Date(createdAt).toISOString(),
    ...(end === undefined ? {} : { completed_at: new Date(end.completedAt).toISOString() }),
    total_steps: end?.total ?? 0,
    completed_steps: end === undefined ? 0 : completedSteps(end),
    cached_steps: end?.cached ?? 0,
    ...(end?.imageId === undefined ? {} : { image: end.imageId }),
    size,
  }
}

/** `4.2s`, `1m 12s`, `3.0s+` while it runs; nothing for a build of which the end is not known. */
function durationText({ createdAt, status, end }: StoredRecord, now: number): string {
  if (end === undefined && status !== 'running') return ''
  const text = formatDuration((end?.completedAt ?? now) - createdAt)
  return end === undefined ? `${text}+` : text
}
