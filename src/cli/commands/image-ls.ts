import { findImages } from '../../engine/images/list-images.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { imageListing, imageRows } from '../images/image-listing.ts'
import { imageTree } from '../images/image-tree.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { renderListing } from '../printer.ts'

export default defineCommand({
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  description: 'SIZE counts the files of all layers, uncompressed. An image without any name is dangling.',
  examples: [
    { text: 'Images of one repository', command: 'cairn images alpine' },
    { text: 'Images that nothing names any more', command: 'cairn images --filter dangling=true' },
    {
      text: 'Names and what only that image takes on disk',
      command: "cairn images --format '{{.Repository}}:{{.Tag}} {{.UniqueSize}}'",
    },
  ],
  args: { max: 1 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Show all images (default hides intermediate images)' },
    digests: { type: 'bool', summary: 'Show digests' },
    filter: filterFlag,
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Only show image IDs' },
    tree: { type: 'bool', summary: 'List multi-platform images as a tree' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    if (flags.tree) refuseWithTree(flags)
    const filters = new Map(parseFilters(flags.filter))
    if (name !== '') filters.set('reference', [...(filters.get('reference') ?? []), name])
    const store = await ctx.use(openStoreOf)
    const images = findImages(store, filters)
    if (flags.tree) {
      const withDangling = flags.all || filters.has('dangling')
      const shown = images.filter(({ isDangling }) => withDangling || !isDangling)
      return ctx.stdout.write(imageTree(store, shown, ctx.stdout.columns))
    }
    const list = imageListing(store, !flags['no-trunc'], flags.digests)
    const rows = images.flatMap((image) => imageRows(image, flags.digests || flags.format.includes('.Digest')))
    ctx.stdout.write(renderListing(list, rows, formatFor(flags)))
    if (rows.length === 0 && ctx.path === 'images' && subcommands.has(name))
      ctx.stderr.write(`\nNo images found matching ${JSON.stringify(name)}: did you mean "cairn image ${name}"?\n`)
  },
})

/** Words that are more likely the name of a command than of an image. */
const subcommands: ReadonlySet<string> = new Set(
  'build history import inspect list load ls prune pull push remove rm save tag'.split(' '),
)

/** Flags that say how the table of images looks; a tree has one look. */
function refuseWithTree(flags: {
  readonly quiet: boolean
  readonly 'no-trunc': boolean
  readonly digests: boolean
  readonly format: string
}): void {
  const given =
    (flags.quiet && 'quiet') ||
    (flags['no-trunc'] && 'no-trunc') ||
    (flags.digests && 'show-digest') ||
    (flags.format !== '' && 'format')
  if (given) throw usageError(`--${given} is not yet supported with --tree`)
}

function formatFor({ format, quiet, digests }: { format: string; quiet: boolean; digests: boolean }): string {
  if (format === 'raw') return quiet ? 'image_id: {{.ID}}' : rawFormat(digests)
  return quiet && (format === '' || format === 'table') ? '{{.ID}}' : format
}

function rawFormat(withDigests: boolean): string {
  const digest = withDigests ? 'digest: {{.Digest}}\n' : ''
  return `repository: {{.Repository}}\ntag: {{.Tag}}\n${digest}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}{{println}}`
}
