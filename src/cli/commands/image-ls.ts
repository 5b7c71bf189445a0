import { containersOfImage } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import { findImages } from '../../engine/list-images.ts'
import type { ImageSummary } from '../../images/list-images.ts'
import { ImageSizes } from '../../images/size.ts'
import { familiarName, type Reference } from '../../oci/reference.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { formatGoTime } from '../go-time.ts'
import { imageNames, shownId } from '../image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

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
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const filters = new Map(parseFilters(flags.filter))
    if (name !== '') filters.set('reference', [...(filters.get('reference') ?? []), name])
    const store = await ctx.use(openStoreOf)
    const images = findImages(store, filters)
    const list = listing(store, !flags['no-trunc'], flags.digests)
    const rows = images.flatMap((image) => rowsOf(image, flags.digests || flags.format.includes('.Digest')))
    ctx.stdout.write(renderListing(list, rows, formatFor(flags)))
    if (rows.length === 0 && ctx.path === 'images' && subcommands.has(name))
      ctx.stderr.write(`\nNo images found matching ${JSON.stringify(name)}: did you mean "cairn image ${name}"?\n`)
  },
})

/** Words that are more likely the name of a command than of an image. */
const subcommands: ReadonlySet<string> = new Set(
  'build history import inspect list load ls prune pull push remove rm save tag'.split(' '),
)

/** One line of the table: an image under one of its names. */
interface Row {
  readonly image: ImageSummary
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

const none = '<none>'

/** A row for each tag, once for each digest of its repository where digests are shown; then digests without a tag. */
function rowsOf(image: ImageSummary, withDigests: boolean): readonly Row[] {
  if (image.digests.length === 0 && image.tags.length > 0)
    return image.tags.map((tag) => row(image, familiarName(tag), tag.tag, none))
  const digests = Map.groupBy(image.digests, familiarName)
  const tagged = image.tags.flatMap((tag) => {
    const repository = familiarName(tag)
    return digestsShown(digests.get(repository), withDigests).map((digest) => row(image, repository, tag.tag, digest))
  })
  const repositories = new Set(image.tags.map(familiarName))
  const untagged = [...digests]
    .filter(([repository]) => !repositories.has(repository))
    .flatMap(([repository, own]) =>
      digestsShown(own, withDigests).map((digest) => row(image, repository, undefined, digest)),
    )
  const rows = [...tagged, ...untagged]
  return rows.length === 0 ? [row(image, none, undefined, none)] : rows
}

function digestsShown(digests: readonly Reference[] = [], withDigests: boolean): readonly string[] {
  return withDigests && digests.length > 0 ? digests.map(({ digest }) => digest ?? none) : [none]
}

function row(image: ImageSummary, repository: string, tag: string | undefined, digest: string): Row {
  return { image, repository, tag: tag ?? none, digest }
}

function listing(store: Store, trunc: boolean, withDigests: boolean): Listing<Row> {
  const sizes = new ImageSizes(store)
  const created = ({ image }: Row): number | undefined =>
    image.created === undefined ? undefined : Date.parse(image.created)
  const age = (time: number | undefined): string => (time === undefined ? 'N/A' : formatAge(time, Date.now()))
  return {
    columns: {
      Repository: { heading: 'REPOSITORY', value: ({ repository }) => repository },
      Tag: { heading: 'TAG', value: ({ tag }) => tag },
      Digest: { heading: 'DIGEST', value: ({ digest }) => digest },
      ID: { heading: 'IMAGE ID', value: ({ image }) => shownId(image.imageId, trunc) },
      CreatedSince: { heading: 'CREATED', value: (one) => age(created(one)) },
      CreatedAt: { heading: 'CREATED AT', value: (one) => timeOf(created(one)) },
      Size: { heading: 'SIZE', value: ({ image }) => formatByteSize(sizes.unpacked(image), 3) },
      VirtualSize: { heading: 'SIZE', value: ({ image }) => formatByteSize(sizes.unpacked(image)) },
      SharedSize: { heading: 'SHARED SIZE', value: ({ image }) => formatByteSize(sizes.shared(image)) },
      UniqueSize: { heading: 'UNIQUE SIZE', value: ({ image }) => formatByteSize(sizes.unique(image)) },
      ContentSize: { heading: 'CONTENT SIZE', value: ({ image }) => formatByteSize(sizes.content(image)) },
      Containers: {
        heading: 'CONTAINERS',
        value: ({ image }) => String(containersOfImage(store, image.imageId).length),
      },
    },
    shown: ['Repository', 'Tag', ...(withDigests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'],
    labels: ({ image }) => image.labels,
  }
}

function timeOf(time: number | undefined): string {
  return time === undefined ? 'N/A' : formatGoTime(Math.trunc(time / 1000) * 1000)
}

function formatFor({ format, quiet, digests }: { format: string; quiet: boolean; digests: boolean }): string {
  if (format === 'raw') return quiet ? 'image_id: {{.ID}}' : rawFormat(digests)
  return quiet && (format === '' || format === 'table') ? '{{.ID}}' : format
}

function rawFormat(withDigests: boolean): string {
  const digest = withDigests ? 'digest: {{.Digest}}\n' : ''
  return `repository: {{.Repository}}\ntag: {{.Tag}}\n${digest}image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}{{println}}`
}
