import { getVolume } from '../../containers/volume-records.ts'
import { inspectVolume } from '../../engine/containers/volumes.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'
import { volumeNames } from '../containers/volume-names.ts'

export default defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  examples: [{ text: 'Where the files are', command: "cairn volume inspect -f '{{.Mountpoint}}' data" }],
  args: { min: 1 },
  flags: { format: objectFormatFlag },
  output: 'collected',
  complete: (ctx) => volumeNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    return await printInspections(ctx, names, flags.format, (name) =>
      Promise.resolve(inspectVolume(store, getVolume(store, name))),
    )
  },
})
