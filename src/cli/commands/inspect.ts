import { inspectObject } from '../../engine/inspect-object.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { imageNames } from '../image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  examples: [{ text: 'When an image was made', command: "cairn inspect -f '{{.Created}}' alpine" }],
  args: { min: 1 },
  flags: {
    format: objectFormatFlag,
    type: { type: 'string', summary: 'Only inspect objects of the given type', complete: ['image'] },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    return await printInspections(ctx, names, flags.format, async (name) => {
      const found = await inspectObject(store, name, flags.type)
      if (found === undefined) throw new CairnError('IMAGE_UNKNOWN', `No such ${flags.type ?? 'object'}: ${name}`)
      return found
    })
  },
})
