import { inspectImage } from '../../engine/images/inspect-image.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  examples: [
    { text: 'The command an image runs', command: "cairn image inspect -f '{{json .Config.Cmd}}' alpine" },
    { text: 'The layers of another platform', command: 'cairn image inspect --platform linux/arm64 alpine' },
  ],
  args: { min: 1 },
  flags: {
    format: objectFormatFlag,
    platform: {
      type: 'string',
      summary: 'Inspect a specific platform of the multi-platform image, such as "linux/amd64"',
    },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const platform = flags.platform === undefined || flags.platform === '' ? undefined : parsePlatform(flags.platform)
    const store = await ctx.use(openStoreOf)
    return await printInspections(ctx, names, flags.format, (name) => inspectImage(store, name, platform))
  },
})
