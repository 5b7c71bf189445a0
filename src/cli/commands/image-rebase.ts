import { rebaseImage } from '../../engine/images/rebase-image.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { newTagFlag, reportRewrite } from '../build/report-rewrite.ts'

export default defineCommand({
  usage: '--from OLD_BASE --onto NEW_BASE [OPTIONS] IMAGE',
  description:
    "Puts the image's own layers on another base without building it again, on every platform it has. The image must begin\nwith the layers of OLD_BASE. Settings that the image did not change are those of NEW_BASE: variables, labels, ports and\nvolumes one by one. Whether the layers still work on the new base nobody can tell but a test: it is right for a base that\nwas only updated. All three may also be oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:DIR.",
  examples: [
    { text: 'An updated base', command: 'cairn image rebase --from debian:12.1 --onto debian:12.2 app:1' },
    { text: 'As another image', command: 'cairn image rebase -t app:2 --from base:1 --onto base:2 app:1' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    from: { type: 'string', value: 'image', default: '', summary: 'The base that the image was built on' },
    onto: { type: 'string', value: 'image', default: '', summary: 'The base that it shall have' },
    tag: newTagFlag,
  },
  complete: (ctx) => imageNames(ctx),
  completeFlag: (ctx, name) => (name === 'tag' ? [] : imageNames(ctx)),
  async run(ctx, { from, onto, tag }, [image = '']) {
    if (from === '' || onto === '')
      throw usageError('both --from and --onto are needed', { hint: 'See "cairn image rebase --help".' })
    reportRewrite(ctx, await rebaseImage(await ctx.use(openStoreOf), image, tag, { from, onto }))
  },
})
