import { inspectManifest } from '../../engine/images/inspect-manifest.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] [MANIFEST_LIST] MANIFEST',
  description:
    'Shows a manifest or index of the store, else of its registry, or of a place as "image copy" knows them: oci:DIR[:TAG],\noci-archive:FILE, docker-archive:FILE, dir:DIR.',
  examples: [
    { text: 'Which platforms an image has', command: 'cairn manifest inspect app:1' },
    { text: 'What is in a layout', command: 'cairn manifest inspect -v oci:layout:1' },
  ],
  args: { min: 1, max: 2 },
  flags: {
    insecure: { type: 'bool', summary: 'Allow communication with an insecure registry' },
    verbose: { type: 'bool', short: 'v', summary: 'Output additional info including layers and platform' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, args) {
    const [list, name] = args.length === 2 ? args : [undefined, args[0]]
    const store = await ctx.use(openStoreOf)
    const { document, details } = await inspectManifest(store, name ?? '', {
      list,
      verbose: flags.verbose,
      access: registryAccessOf(ctx),
    })
    // docker indents lists by three spaces and everything else by a tab.
    const indent = details === undefined && document.type === 'index' ? 3 : '\t'
    const shown = JSON.stringify(details ?? document.value, undefined, indent)
    ctx.stdout.write(`${shown}\n`)
  },
})
