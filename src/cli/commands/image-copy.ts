import { copyImage } from '../../engine/images/copy-image.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] SOURCE DESTINATION',
  description:
    'Both are a name in the store or one of\n  oci:DIR[:TAG][@DIGEST]       an OCI image layout\n  oci-archive:FILE[:NAME]      an archive of one\n  docker-archive:FILE[:NAME]   what "docker save" writes; one platform, layers uncompressed\n  dir:DIR                      plain files, as skopeo has them\nEverything is verified first. Digests stay as they are, and all platforms and attestations go along. A copy that fails\nleaves the destination as it was.',
  examples: [
    { text: 'Into an OCI layout that other tools read', command: 'cairn image copy app:1 oci:layout:1' },
    {
      text: 'One platform as an archive for docker',
      command: 'cairn image copy --platform linux/arm64 oci:layout:1 docker-archive:app.tar:app:1',
    },
    {
      text: 'With its signatures',
      command: 'cairn image copy --referrers docker://registry.example.com/app:1 oci:layout:1',
    },
    { text: 'Into the store', command: 'cairn image copy oci-archive:app.tar app:1' },
  ],
  args: { min: 2, max: 2 },
  flags: {
    platform: {
      type: 'string',
      summary: 'Copy only the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    referrers: {
      type: 'bool',
      summary: 'Also copy what refers to the image (signatures, SBOMs)',
    },
    quiet: { type: 'bool', short: 'q', summary: 'Only print the digest' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [source = '', destination = '']) {
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform)
    const store = await ctx.use(openStoreOf)
    const { target, referrers, written } = await copyImage(store, source, destination, {
      platform,
      withReferrers: flags.referrers,
      signal: ctx.signal,
      access: registryAccessOf(ctx),
    })
    if (!flags.quiet)
      ctx.stderr.write(
        `Copied ${source} to ${destination}: ${referrers === 0 ? '' : `${referrers} referrers, `}${written.blobs} blobs, ${formatByteSize(written.bytes)} written\n`,
      )
    ctx.stdout.write(`${target.digest}\n`)
  },
})
