import type { CacheMount } from '../../content/cache-mounts.ts'
import type { Store } from '../../content/store.ts'
import { findCacheMounts, isInUse, shownNameLength } from '../../engine/store/list-cache-mounts.ts'
import { cacheMountSize } from '../../engine/store/remove-cache-mounts.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { formatGoTime } from '../go-template/go-time.ts'
import { openStoreOf } from '../open-store.ts'
import { ellipsis, type Listing, renderListing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Cache mounts are the directories of RUN --mount=type=cache. Mounts of one id with another owner, mode or first\ncontent are others, and steps that want a copy of their own (sharing=private) make more.',
  examples: [
    { text: 'What nobody has used for a month', command: 'cairn cache ls --filter until=720h' },
    { text: 'Which build used them', command: "cairn cache ls --format '{{.ID}}: {{.UsedBy}}'" },
  ],
  args: { max: 0 },
  flags: {
    filter: { ...filterFlag, summary: 'Filter output based on conditions provided (e.g. "id=npm", "until=24h")' },
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Only display names' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const store = await ctx.use(openStoreOf)
    const mounts = findCacheMounts(store, parseFilters(flags.filter))
    const isPlain = flags.format === '' || flags.format === 'table'
    const format = flags.quiet && isPlain ? '{{.Name}}' : flags.format
    ctx.stdout.write(renderListing(listing(store, !flags['no-trunc'], Date.now()), mounts, format))
  },
})

/** Characters of an id and of what used it that a table shows. */
const shownId = 40
const shownUser = 50

function listing(store: Store, trunc: boolean, now: number): Listing<CacheMount> {
  const shorten = (text: string, width: number): string => (trunc ? ellipsis(text, width) : text)
  return {
    columns: {
      Name: { heading: 'NAME', value: ({ name }) => (trunc ? shortName(name) : name) },
      ID: { heading: 'ID', value: ({ id }) => shorten(id, shownId) },
      Size: { heading: 'SIZE', value: (mount) => formatByteSize(cacheMountSize(store, mount), 3) },
      Sharing: { heading: 'SHARING', value: ({ sharing }) => sharing },
      Owner: { heading: 'OWNER', value: ({ uid, gid }) => `${uid}:${gid}` },
      Mode: { heading: 'MODE', value: ({ mode }) => mode.toString(8).padStart(4, '0') },
      InUse: { heading: 'IN USE', value: (mount) => String(isInUse(store, mount)) },
      CreatedAt: { heading: 'CREATED AT', value: ({ createdAt }) => formatGoTime(Math.trunc(createdAt / 1000) * 1000) },
      LastUsedAt: { heading: 'LAST USED AT', value: ({ usedAt }) => formatGoTime(Math.trunc(usedAt / 1000) * 1000) },
      LastUsed: { heading: 'LAST USED', value: ({ usedAt }) => formatAge(usedAt, now) },
      UsedBy: { heading: 'USED BY', value: (mount) => shorten(userOf(mount), shownUser) },
    },
    shown: ['Name', 'ID', 'Size', 'Sharing', 'LastUsed', 'UsedBy'],
  }
}

/** The number of a copy stays. */
function shortName(name: string): string {
  const [digest = '', copy] = name.split('-')
  return digest.slice(0, shownNameLength) + (copy === undefined ? '' : `-${copy}`)
}

function userOf({ usedBy }: CacheMount): string {
  if (usedBy === undefined) return ''
  const { context, dockerfile, stage } = usedBy
  return `${stage === '' ? '' : `${stage} of `}${dockerfile} in ${context}`
}
