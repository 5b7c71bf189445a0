import { flattenImage } from '../../engine/images/flatten-image.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { newTagFlag, reportRewrite } from '../build/report-rewrite.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  description:
    'Makes one layer of all layers, on every platform the image has: what later layers removed or replaced is gone. Settings\nstay, the history becomes one entry. The same image gives the same digest. IMAGE may also be oci:DIR[:TAG],\noci-archive:FILE, docker-archive:FILE or dir:DIR.',
  examples: [{ text: 'A smaller image under another name', command: 'cairn image flatten -t app:flat app:1' }],
  args: { min: 1, max: 1 },
  flags: { tag: newTagFlag },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, { tag }, [image = '']) {
    reportRewrite(ctx, await flattenImage(await ctx.use(openStoreOf), image, tag))
  },
})
