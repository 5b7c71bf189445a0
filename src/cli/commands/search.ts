import { searchRegistry } from '../../engine/registry/search-registry.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { ellipsis, type Listing, renderListing } from '../printer.ts'
import { registryAccessOf } from '../registry-access.ts'

type Found = Awaited<ReturnType<typeof searchRegistry>>[number]

const shownDescription = 45

export default defineCommand({
  usage: '[OPTIONS] TERM',
  description:
    'Searches Docker Hub. With REGISTRY/TERM another registry: by its search where it has one, else by the names in its\ncatalog.',
  examples: [
    { text: 'Official images of a database', command: 'cairn search --filter is-official=true postgres' },
    { text: 'Repositories of a registry', command: 'cairn search registry.example.com/app' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    filter: filterFlag,
    format: { type: 'string', default: '', summary: 'Pretty-print search using a Go template' },
    limit: { type: 'int', default: 25, summary: 'Max number of search results' },
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
  },
  output: 'collected',
  complete: () => [],
  async run(ctx, flags, [term = '']) {
    const filters = parseFilters(flags.filter)
    const found = await searchRegistry(term, { access: registryAccessOf(ctx), filters, limit: flags.limit })
    ctx.stdout.write(renderListing(listing(!flags['no-trunc']), found, flags.format))
  },
})

function listing(trunc: boolean): Listing<Found> {
  return {
    columns: {
      Name: { heading: 'NAME', value: ({ name }) => name },
      Description: {
        heading: 'DESCRIPTION',
        value: ({ description }) => (trunc ? ellipsis(description, shownDescription) : description),
      },
      StarCount: { heading: 'STARS', value: ({ stars }) => String(stars) },
      IsOfficial: { heading: 'OFFICIAL', value: ({ isOfficial }) => (isOfficial ? '[OK]' : '') },
      IsAutomated: { heading: 'AUTOMATED', value: () => '' },
    },
    shown: ['Name', 'Description', 'StarCount', 'IsOfficial'],
  }
}
