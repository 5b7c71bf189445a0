import { validateImages, validateStore } from '../../engine/images/validate-image.ts'
import { usageError } from '../../errors/error.ts'
import type { ImageProblem, ImageValidation } from '../../images/validate-image.ts'
import { defineCommand } from '../command.ts'
import { imageNames, shownId } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] [IMAGE...]',
  description:
    'Reads every byte of all platforms and attestations and tells all that is wrong at once: blobs that are missing or not\nwhat their digest, size or media type says, documents against the specification, diff IDs and history against the\nlayers, layers that are no whole tars or lead out of the image. Status 1 where anything is. IMAGE may also be\noci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:DIR.',
  examples: [
    { text: 'A layout from elsewhere', command: 'cairn image validate oci:layout:1' },
    { text: 'All images of the store, as JSON', command: 'cairn image validate --all --format json' },
  ],
  args: {},
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Validate every image of the store' },
    format: {
      type: 'string',
      default: '',
      summary:
        "Format output using a custom template:\n'json':             Print each image's report as JSON on a line\n'TEMPLATE':         Print each problem using the given Go template",
    },
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Print nothing' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    if (flags.all ? names.length > 0 : names.length === 0)
      throw usageError('give the images to validate, or --all for those of the store')
    const store = await ctx.use(openStoreOf)
    const validations = flags.all
      ? await validateStore(store)
      : await validateImages(store, names, registryAccessOf(ctx))
    if (!flags.quiet) ctx.stdout.write(describe(validations, flags.format, !flags['no-trunc']))
    return validations.some(({ problems }) => problems.length > 0) ? 1 : 0
  },
})

type Row = ImageProblem & { readonly name: string }

function describe(validations: readonly ImageValidation[], format: string, trunc: boolean): string {
  if (format === 'json') return validations.map((one) => `${JSON.stringify(one)}\n`).join('')
  const rows = validations.flatMap(({ name, problems }) => problems.map((problem) => ({ ...problem, name })))
  if (format !== '') return renderListing(listing(trunc), rows, format)
  return validations.map(summarize).join('') + (rows.length === 0 ? '' : `\n${renderListing(listing(trunc), rows)}`)
}

function summarize({ name, platforms, manifests, layers, bytes, problems }: ImageValidation): string {
  const outcome = problems.length === 0 ? 'ok' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`
  const of = platforms.length === 0 ? '' : ` (${platforms.join(', ')})`
  return `${name}: ${outcome}; ${manifests} manifests${of}, ${layers} layers, ${formatByteSize(bytes, 3)} verified\n`
}

function listing(trunc: boolean): Listing<Row> {
  return {
    columns: {
      Name: { heading: 'IMAGE', value: ({ name }) => name },
      Platform: { heading: 'PLATFORM', value: ({ platform }) => platform },
      Part: { heading: 'PART', value: ({ part }) => part },
      Digest: { heading: 'DIGEST', value: ({ digest }) => shownId(digest, trunc) },
      Code: { heading: 'CODE', value: ({ code }) => code },
      Message: { heading: 'PROBLEM', value: ({ message }) => message },
    },
    shown: ['Name', 'Platform', 'Part', 'Digest', 'Code', 'Message'],
  }
}
