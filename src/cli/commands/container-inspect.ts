import { inspectContainer } from '../../engine/containers/inspect-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { printInspections } from '../print-inspections.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [{ text: 'How a container ended', command: "cairn container inspect -f '{{.State.ExitCode}}' job" }],
  args: { min: 1 },
  flags: {
    format: objectFormatFlag,
    size: { type: 'bool', short: 's', summary: 'Display total file sizes' },
  },
  output: 'collected',
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    return await printInspections(ctx, names, flags.format, (name) =>
      Promise.resolve(inspectContainer(store, name, { size: flags.size })),
    )
  },
})
