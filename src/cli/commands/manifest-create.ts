import { createManifestList } from '../../engine/images/manifest-lists.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { formatReference, parseReference } from '../../oci/reference.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: 'MANIFEST_LIST MANIFEST [MANIFEST...]',
  description:
    'The list is an image index in the store, so it can be saved, copied, inspected and run like any image. Its members\nare images of the store, else of their registries; of one for several platforms all are taken.',
  examples: [
    { text: 'One name for two platforms', command: 'cairn manifest create app:1 app:1-amd64 app:1-arm64' },
    { text: 'One platform more', command: 'cairn manifest create --amend app:1 app:1-riscv64' },
  ],
  args: { min: 2 },
  flags: {
    amend: { type: 'bool', short: 'a', summary: 'Amend an existing manifest list' },
    insecure: { type: 'bool', summary: 'Allow communication with an insecure registry' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [list = '', ...names]) {
    const store = await ctx.use(openStoreOf)
    const { reference, missing } = await createManifestList(store, list, names, {
      amend: flags.amend,
      bring: async (name) => {
        const { pullImage } = await import('../../engine/images/pull-image.ts')
        const { startWorker } = ctx
        await pullImage(store, parseReference(name), { access: registryAccessOf(ctx), isComplete: true, startWorker })
      },
    })
    for (const { digest, platform } of missing)
      ctx.stderr.write(
        `WARNING: the list is without ${platform === undefined ? digest : formatPlatform(platform)}, which the store does not have\n`,
      )
    ctx.stdout.write(`Created manifest list ${formatReference(reference)}\n`)
  },
})
