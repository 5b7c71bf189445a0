import { extractArchive, extractFiles } from '../../engine/images/extract-image.ts'
import { openImageFiles } from '../../engine/images/image-files.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [PATH]',
  description:
    'What is at PATH appears in the output directory under its own name. For the whole image, or a PATH that ends in a\nslash, its content becomes that directory, which must be empty or not there. Nothing is replaced, and nothing is made\noutside of it, whatever the layers say. Modes and times are kept; owners and devices when run as root.',
  examples: [
    { text: 'One file', command: 'cairn image extract app:1 /usr/bin/app' },
    { text: 'A whole root filesystem', command: 'cairn image extract -o rootfs app:1' },
    { text: 'As a tar', command: 'cairn image extract -o - app:1 /etc/ | tar -t' },
  ],
  args: { min: 1, max: 2 },
  flags: {
    output: {
      type: 'string',
      short: 'o',
      default: '.',
      value: 'directory',
      complete: 'directory',
      summary: 'Directory to write to; "-" writes a tar to STDOUT',
    },
    platform: platformFlag,
  },
  complete: (ctx, _text, args) => (args.length === 0 ? imageNames(ctx) : []),
  async run(ctx, flags, [image = '', path = '/']) {
    if (flags.output === '-' && ctx.stdout.isTTY)
      throw usageError('refusing to write a tar to a terminal', { hint: 'Redirect it.' })
    using opened = await openImageFiles(
      await ctx.use(openStoreOf),
      image,
      platformOfFlag(flags.platform),
      registryAccessOf(ctx),
    )
    if (flags.output === '-') return await extractArchive(opened.files, path, (bytes) => ctx.stdout.write(bytes))
    const owners = process.getuid?.() === 0 ? 'archive' : 'caller'
    const { skipped } = await extractFiles(opened.files, path, flags.output, owners)
    for (const line of skipped) ctx.stderr.write(`WARNING: ${line}\n`)
  },
})
