import { annotateManifestList } from '../../engine/images/manifest-lists.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] MANIFEST_LIST MANIFEST',
  description: 'Changes what the list says of one member; the member itself stays as it is.',
  examples: [
    { text: 'Say which ARM it is', command: 'cairn manifest annotate --arch arm --variant v7 app:1 app:1-armhf' },
  ],
  args: { min: 2, max: 2 },
  flags: {
    arch: { type: 'string', default: '', summary: 'Set architecture' },
    os: { type: 'string', default: '', summary: 'Set operating system' },
    'os-features': { type: 'stringSlice', value: 'strings', summary: 'Set operating system feature' },
    'os-version': { type: 'string', default: '', summary: 'Set operating system version' },
    variant: { type: 'string', default: '', summary: 'Set architecture variant' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [list = '', name = '']) {
    await annotateManifestList(await ctx.use(openStoreOf), list, name, {
      os: nonEmpty(flags.os),
      architecture: nonEmpty(flags.arch),
      variant: nonEmpty(flags.variant),
      osVersion: nonEmpty(flags['os-version']),
      osFeatures: flags['os-features'],
    })
  },
})

function nonEmpty(text: string): string | undefined {
  return text === '' ? undefined : text
}
