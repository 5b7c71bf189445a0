import { describeRemote } from '../../engine/build/remote-documents.ts'
import { registryClient } from '../../engine/registry/registry-access.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG]...',
  description: 'Prints the digests that names in registries lead to, asked for by HEAD, which registries do not count.',
  examples: [
    { text: 'Pin a base image', command: 'cairn registry digest debian:12' },
    { text: 'The image of one platform', command: 'cairn registry digest --platform linux/arm64 debian:12' },
  ],
  args: { min: 1 },
  flags: {
    full: { type: 'bool', summary: 'Print NAME@DIGEST' },
    platform: platformFlag,
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const client = registryClient(registryAccessOf(ctx))
    const platform = platformOfFlag(flags.platform)
    for (const name of names) {
      // oxlint-disable-next-line no-await-in-loop -- digests come in the order of the names
      const { descriptor, repositories } = await describeRemote(name, client, platform)
      ctx.stdout.write(`${flags.full ? `${repositories[0].name}@` : ''}${descriptor.digest}\n`)
    }
  },
})
