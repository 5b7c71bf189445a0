import { appended, combineRemote, parseCombineSource, pushCombined } from '../../engine/registry/combine-remote.ts'
import { usageError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { familiarString, parseReference, withDefaultTag } from '../../oci/reference.ts'
import { parseAnnotations } from '../../outputs/parse-output.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { writeFile } from '../write-file.ts'

export default defineCommand({
  usage: '[OPTIONS] [SOURCE...]',
  description: `Makes one image for several platforms of images in registries, without fetching them: an index of their manifests, which are
copied where they are in another repository. SOURCE is a name, a digest in the repository of the tags, or a descriptor.
"manifest create" makes lists of images of the store.`,
  examples: [
    {
      text: 'One image of what several machines pushed by digest',
      command: 'cairn buildx imagetools create -t registry.example.com/app:1 sha256:1f… sha256:9c…',
    },
    {
      text: 'Another name for an image',
      command: 'cairn buildx imagetools create -t registry.example.com/app:latest registry.example.com/app:1',
    },
  ],
  args: {},
  flags: {
    annotation: { type: 'stringArray', summary: 'Add annotation to the image (format: "index:KEY=VALUE")' },
    append: { type: 'bool', summary: 'Append to existing manifest' },
    builder: builderFlag,
    'dry-run': { type: 'bool', summary: 'Show final image instead of pushing' },
    file: { type: 'stringArray', short: 'f', complete: 'file', summary: 'Read source descriptor from file' },
    'metadata-file': { type: 'string', complete: 'file', summary: 'Write the descriptor of the image to a file' },
    platform: { type: 'stringSlice', short: 'p', summary: 'Filter specified platforms of target image' },
    'prefer-index': {
      type: 'bool',
      default: true,
      summary: 'Make an index of a single image, too, instead of copying its manifest',
    },
    progress: { type: 'string', hidden: true, summary: 'Set type of progress output; there is a line for each name' },
    tag: { type: 'stringArray', short: 't', summary: 'Set reference for new image' },
  },
  async run(ctx, flags, args) {
    const given = [...flags.file.map((path) => readTextFile(path) ?? unreadable(path)), ...args].map(parseCombineSource)
    if (given.length === 0) throw usageError('no sources specified')
    const tags = flags.tag.map((tag) => withDefaultTag(parseReference(tag)))
    if (tags.length === 0 && !flags['dry-run'])
      throw usageError("can't push with no tags specified, please set --tag or --dry-run")
    const annotations = parseAnnotations(flags.annotation, true)
    const misplaced = annotations.find(({ carrier }) => carrier !== 'index' && carrier !== 'manifest-descriptor')
    if (misplaced !== undefined)
      throw usageError(`${JSON.stringify(misplaced.carrier)} annotations are not supported here`, {
        hint: 'Annotate the index, as index:KEY=VALUE, or its entries, as manifest-descriptor:KEY=VALUE.',
      })
    const options = {
      access: registryAccessOf(ctx),
      tags,
      platforms: flags.platform.map(parsePlatform),
      annotations,
      prefersIndex: flags['prefer-index'],
    }
    const combined = await combineRemote(flags.append ? appended(tags, given) : given, options)
    const { descriptor, raw } = combined
    if (flags['dry-run']) return ctx.stdout.write(`${new TextDecoder().decode(raw)}\n`)
    await pushCombined(await ctx.use(openStoreOf), combined, options)
    for (const tag of tags) ctx.stderr.write(`pushed ${descriptor.digest} to ${familiarString(tag)}\n`)
    if (flags['metadata-file'] !== undefined)
      writeFile(
        flags['metadata-file'],
        `${JSON.stringify({ 'containerimage.descriptor': descriptor, 'image.name': tags.map(familiarString).join(',') }, undefined, 2)}\n`,
      )
  },
})

function unreadable(path: string): never {
  throw usageError(`open ${path}: no such file or directory`)
}
