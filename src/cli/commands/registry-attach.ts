import { attachFiles, type AttachedFile } from '../../engine/registry/attach-files.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

const defaultMediaType = 'application/vnd.oci.image.layer.v1.tar'

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST] [FILE[:MEDIATYPE]...]',
  description:
    'Puts files into a registry as an artifact that refers to an image, as "oras attach" does, and prints its digest. The same files and\nannotations give the same digest. Registries that list no referrers get the tag that stands in for it.',
  examples: [
    {
      text: 'An SBOM',
      command: 'cairn registry attach --artifact-type application/spdx+json app:1 sbom.json:application/spdx+json',
    },
    {
      text: 'A note without a file',
      command: 'cairn registry attach --artifact-type example/approval --annotation by=me app:1',
    },
  ],
  args: { min: 1 },
  flags: {
    annotation: { type: 'stringArray', short: 'a', value: 'key=value', summary: 'Annotation of the artifact' },
    'artifact-type': { type: 'string', value: 'type', summary: 'What kind of thing it is (required)' },
  },
  output: 'collected',
  complete: (_ctx, _word, args) => (args.length === 0 ? [] : 'file'),
  async run(ctx, flags, [name = '', ...files]) {
    const artifactType = flags['artifact-type']
    if (artifactType === undefined || !isMediaType(artifactType))
      throw new CairnError('USAGE', '--artifact-type has to be given, like application/spdx+json')
    const annotations = Object.fromEntries(keyValues(flags.annotation, 'annotation'))
    if (files.length === 0 && Object.keys(annotations).length === 0)
      throw new CairnError('USAGE', 'there is nothing to attach: give files, or --annotation')
    const store = await ctx.use(openStoreOf)
    const access = registryAccessOf(ctx)
    const { artifact } = await attachFiles(store, name, files.map(parseFile), { access, artifactType, annotations })
    ctx.stdout.write(`${artifact.digest}\n`)
  },
})

function parseFile(text: string): AttachedFile {
  const colon = text.lastIndexOf(':')
  const mediaType = text.slice(colon + 1)
  if (colon > 0 && isMediaType(mediaType)) return { path: text.slice(0, colon), mediaType }
  return { path: text, mediaType: defaultMediaType }
}

/** RFC 6838 §4.2. */
function isMediaType(text: string): boolean {
  return /^[\w][\w!#$&^.+-]{0,126}\/[\w][\w!#$&^.+-]{0,126}$/.test(text)
}
