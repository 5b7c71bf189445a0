import { readRemote } from '../../engine/build/remote-documents.ts'
import { registryClient } from '../../engine/registry/registry-access.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  description:
    'Writes a manifest or index, the config of an image, or a blob as the registry has it, byte for byte. Its digest is checked: the\nexit status tells whether all that was written is right.',
  examples: [
    { text: 'A manifest', command: 'cairn registry cat app:1' },
    { text: 'The config of one platform', command: 'cairn registry cat --type config --platform linux/arm64 app:1' },
    { text: 'A layer', command: 'cairn registry cat --type blob app@sha256:… | tar -tz' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    platform: platformFlag,
    type: {
      type: 'string',
      default: 'manifest',
      oneOf: ['manifest', 'config', 'blob'],
      summary: 'What is written: "manifest", "config", or the "blob" of a digest',
    },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const client = registryClient(registryAccessOf(ctx))
    await ctx.stdout.writeFrom(await readRemote(name, flags.type, client, platformOfFlag(flags.platform)))
  },
})
