import { printable } from '../../dockerfile/characters.ts'
import { type FoundReferrer, referrersOf } from '../../engine/registry/referrer-tree.ts'
import { defineCommand } from '../command.ts'
import { listFormatFlag } from '../format-flag.ts'
import { imageNames } from '../images/image-names.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { type Listing, renderListing } from '../printer.ts'
import { registryAccessOf } from '../registry-access.ts'
import { formatByteSize } from '../units.ts'

const deepestTree = 8

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  description: 'Lists what refers to an image of a registry: signatures, SBOMs, other attachments.',
  examples: [
    { text: 'All of it, with what refers to referrers', command: 'cairn registry referrers --tree app:1' },
    {
      text: 'Digests of the SBOMs',
      command: "cairn registry referrers --artifact-type application/spdx+json --format '{{.Digest}}' app:1",
    },
  ],
  args: { min: 1, max: 1 },
  flags: {
    'artifact-type': { type: 'string', value: 'type', summary: 'Only artifacts of one type' },
    format: listFormatFlag,
    platform: platformFlag,
    tree: { type: 'bool', summary: 'Also what refers to referrers' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const rows: FoundReferrer[] = []
    const found = referrersOf(name, {
      access: registryAccessOf(ctx),
      artifactType: flags['artifact-type'],
      deepest: flags.tree ? deepestTree : 0,
      platform: platformOfFlag(flags.platform),
    })
    for await (const referrer of found) rows.push(referrer)
    ctx.stdout.write(renderListing(listing, rows, flags.format))
  },
})

const listing: Listing<FoundReferrer> = {
  columns: {
    Digest: { heading: 'DIGEST', value: ({ descriptor }) => descriptor.digest },
    Indented: {
      heading: 'DIGEST',
      value: ({ descriptor, depth }) => `${depth === 0 ? '' : `${'   '.repeat(depth - 1)}└─ `}${descriptor.digest}`,
    },
    ArtifactType: { heading: 'ARTIFACT TYPE', value: ({ descriptor }) => printable(descriptor.artifactType ?? '') },
    MediaType: { heading: 'MEDIA TYPE', value: ({ descriptor }) => printable(descriptor.mediaType) },
    Size: { heading: 'SIZE', value: ({ descriptor }) => formatByteSize(descriptor.size) },
    Subject: { heading: 'SUBJECT', value: ({ subject }) => subject },
    Depth: { heading: 'DEPTH', value: ({ depth }) => depth },
    Annotations: { heading: 'ANNOTATIONS', value: ({ descriptor }) => ({ ...descriptor.annotations }) },
  },
  shown: ['Indented', 'ArtifactType', 'Size'],
}
