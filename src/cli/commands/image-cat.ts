import { openImageFiles, readImageFile } from '../../engine/images/image-files.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE PATH [PATH...]',
  description:
    'Nothing is run or unpacked: layers are read from the newest down until the file is found. Symlinks are followed inside\nthe image. IMAGE may also be oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:DIR.',
  examples: [
    { text: 'A file of an image', command: 'cairn image cat alpine /etc/os-release' },
    {
      text: 'Of an archive, for another platform',
      command: 'cairn image cat --platform linux/arm64 oci-archive:app.tar /etc/passwd',
    },
  ],
  args: { min: 2 },
  flags: { platform: platformFlag },
  complete: (ctx, _text, args) => (args.length === 0 ? imageNames(ctx) : []),
  async run(ctx, flags, [image = '', ...paths]) {
    using opened = await openImageFiles(
      await ctx.use(openStoreOf),
      image,
      platformOfFlag(flags.platform),
      registryAccessOf(ctx),
    )
    for (const path of paths) for (const bytes of await readImageFile(opened.files, path)) ctx.stdout.write(bytes)
  },
})
