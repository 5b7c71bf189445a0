import { removeManifestLists } from '../../engine/images/manifest-lists.ts'
import { pushManifestList } from '../../engine/registry/registry-manifests.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] MANIFEST_LIST',
  examples: [
    { text: 'Push a list and forget it here', command: 'cairn manifest push --purge registry.example.com/app:1' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    insecure: { type: 'bool', summary: 'Allow push to an insecure registry' },
    purge: { type: 'bool', short: 'p', summary: 'Remove the local manifest list after push' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [list = '']) {
    const store = await ctx.use(openStoreOf)
    const { target } = await pushManifestList(store, list, {
      access: registryAccessOf(ctx),
      compression: { format: 'gzip' },
      startWorker: ctx.startWorker,
    })
    ctx.stdout.write(`${target.digest}\n`)
    if (!flags.purge) return
    for (const failure of await removeManifestLists(store, [list])) throw failure
  },
})
