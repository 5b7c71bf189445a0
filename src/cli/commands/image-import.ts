import { formatEpoch, parseEpoch } from '../../build/epoch.ts'
import { archiveInput } from '../../engine/build/archive-input.ts'
import { importImage } from '../../engine/images/import-image.ts'
import { usageError } from '../../errors/error.ts'
import { hostPlatform } from '../../oci/platform.ts'
import { defineCommand } from '../command.ts'
import { changeFlags, newImageName } from '../images/made-image-flags.ts'
import { openStoreOf } from '../open-store.ts'
import { platformOfFlag, withDefaultPlatform } from '../platform-flag.ts'

export default defineCommand({
  usage: '[OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
  description:
    'The archive is a tar of a root filesystem, plain or compressed with gzip, bzip2, xz or zstd. Its bytes become the\nonly layer of the image as they are, so the same archive and SOURCE_DATE_EPOCH give the same image everywhere.',
  examples: [
    { text: 'An image from a root filesystem', command: 'cairn import rootfs.tar.xz base:1' },
    {
      text: 'With a command and a variable',
      command: `cairn import -c 'CMD ["sh"]' -c 'ENV LANG=C.UTF-8' rootfs.tar base`,
    },
    { text: 'From a pipe', command: 'tar -C rootfs -c . | cairn import - base' },
  ],
  args: { min: 1, max: 2 },
  flags: {
    ...changeFlags,
    message: { type: 'string', short: 'm', default: '', summary: 'Set commit message for imported image' },
    platform: { type: 'string', summary: 'Set the platform of the image (default: that of this machine)' },
  },
  complete: (_ctx, _text, args) => (args.length === 0 ? 'file' : []),
  async run(ctx, flags, [from = '', name]) {
    const reference = name === undefined ? undefined : newImageName(name, 'cannot import digest reference')
    const platform = platformOfFlag(withDefaultPlatform(ctx.env, flags.platform)) ?? hostPlatform()
    const epoch = parseEpoch(ctx.env['SOURCE_DATE_EPOCH'])
    if (from === '-' && ctx.stdin.isTTY)
      throw usageError('cannot import from a terminal', { hint: 'Pipe an archive in, or give its path.' })
    const { source, name: shown, origin } = archiveInput(from, { stdin: () => ctx.stdin.bytes(), signal: ctx.signal })
    const image = await importImage(await ctx.use(openStoreOf), source, {
      name: shown,
      reference,
      changes: flags.change,
      message: flags.message === '' ? `Imported from ${origin}` : flags.message,
      platform,
      created: epoch === undefined ? new Date().toISOString() : formatEpoch(epoch),
    })
    if (image.looksLikeImages)
      ctx.stderr.write(`WARNING: ${shown} holds images; to get those use "cairn load -i" instead of import\n`)
    ctx.stdout.write(`${image.imageId}\n`)
  },
})
