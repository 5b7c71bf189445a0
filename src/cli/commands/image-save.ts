import { type SavedImages, saveImages } from '../../images/archives/save-images.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { checkOutputPath, outputFlag, refuseTerminal } from '../output-path.ts'
import { checkedPlatformOfFlag } from '../platform-flag.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description:
    'The archive is an OCI image layout and a docker-archive at once, so that docker, podman, skopeo and containerd\nread it; the same images give the same bytes. A name without a tag stands for all tags of its repository.',
  examples: [
    { text: 'One image in a file', command: 'cairn save -o app.tar app:1' },
    { text: 'To another machine', command: 'cairn save app:1 | zstd | ssh host cairn load' },
  ],
  args: { min: 1 },
  flags: {
    output: outputFlag,
    platform: {
      type: 'string',
      summary: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const platform = checkedPlatformOfFlag(flags.platform)
    const options = platform === undefined ? {} : { platform }
    refuseTerminal(ctx, flags.output, 'cowardly refusing to save to a terminal. Use the -o option or redirect')
    if (flags.output !== '') checkOutputPath(flags.output, 'failed to save image')
    const store = await ctx.use(openStoreOf)
    if (flags.output === '') {
      warnOfMissing(ctx, await saveImages(store, names, (bytes) => ctx.stdout.write(bytes), options))
      return
    }
    using file = openFileSink(flags.output)
    const write = async (bytes: Uint8Array): Promise<void> => {
      file.write(bytes)
      // Between two pieces Ctrl-C gets its turn.
      await Bun.sleep(0)
      ctx.signal.throwIfAborted()
    }
    const saved = await saveImages(store, names, write, options)
    file.commit()
    warnOfMissing(ctx, saved)
  },
})

function warnOfMissing(ctx: CommandContext, { missing }: SavedImages): void {
  if (missing.length === 0) return
  const platforms = missing.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]))
  const which = platforms.length === 0 ? `${missing.length} parts of it` : [...new Set(platforms)].join(', ')
  ctx.stderr.write(`WARNING: the archive is without what the store does not have: ${which}\n`)
}
