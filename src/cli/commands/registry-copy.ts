import { copyRemote } from '../../engine/registry/copy-remote.ts'
import { remoteReference } from '../../engine/build/remote-documents.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] SOURCE DESTINATION',
  description:
    'Copies an image from registry to registry, byte for byte, with all its platforms, attestations and, unless told otherwise, what\nrefers to it. What is there is not moved; within one registry blobs are mounted. "image copy" knows other places, too.',
  examples: [
    {
      text: 'Promote an image',
      command: 'cairn registry copy registry.example.com/dev/app:1 registry.example.com/prod/app:1',
    },
    {
      text: 'One platform of it',
      command: 'cairn registry copy --platform linux/arm64 app:1 registry.example.com/app:1-arm',
    },
  ],
  args: { min: 2, max: 2 },
  flags: {
    platform: platformFlag,
    quiet: { type: 'bool', short: 'q', summary: 'Only print the digest' },
    referrers: {
      type: 'bool',
      default: true,
      summary: 'Also copy what refers to the image (signatures, SBOMs), and tags like sha256-….sig',
    },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [from = '', to = '']) {
    const store = await ctx.use(openStoreOf)
    const { target, referrers, written } = await copyRemote(store, remoteReference(from), remoteReference(to), {
      access: registryAccessOf(ctx),
      platform: platformOfFlag(flags.platform),
      withReferrers: flags.referrers,
    })
    if (!flags.quiet) {
      const more = referrers === 0 ? '' : ` with ${referrers} referrers`
      ctx.stderr.write(
        `Copied ${from} to ${to}${more}: ${written.blobs} blobs, ${formatByteSize(written.bytes)} moved\n`,
      )
    }
    ctx.stdout.write(`${target.digest}\n`)
  },
})
