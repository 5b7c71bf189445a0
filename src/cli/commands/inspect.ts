import { inspectObject, objectTypes } from '../../engine/inspect-object.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'
import { volumeNames } from '../containers/volume-names.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  examples: [
    { text: 'Where a container is in the list of processes', command: "cairn inspect -f '{{.State.Pid}}' web" },
    { text: 'When an image was made', command: "cairn inspect -f '{{.Created}}' alpine" },
  ],
  args: { min: 1 },
  flags: {
    format: objectFormatFlag,
    size: { type: 'bool', short: 's', summary: 'Display total file sizes if the type is container' },
    type: { type: 'string', summary: 'Only inspect objects of the given type', complete: objectTypes },
  },
  output: 'collected',
  complete: async (ctx) => [...(await containerNames(ctx)), ...(await imageNames(ctx)), ...(await volumeNames(ctx))],
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    return await printInspections(ctx, names, flags.format, async (name) => {
      const { type, object } = await inspectObject(store, name, flags.type, { size: flags.size })
      if (flags.size && type !== 'container') ctx.stderr.write(`WARNING: --size ignored for ${type}\n`)
      return object
    })
  },
})
