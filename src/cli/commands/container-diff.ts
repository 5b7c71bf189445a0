import { diffContainer } from '../../engine/containers/diff-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'CONTAINER',
  description: 'A is a path that the container added, C one that it changed and D one that it deleted.',
  examples: [{ text: 'What it changed below /etc', command: "cairn diff web | grep ' /etc'" }],
  args: { min: 1, max: 1 },
  flags: {},
  complete: (ctx) => containerNames(ctx),
  async run(ctx, _, [name = '']) {
    for (const { kind, path } of await diffContainer(await ctx.use(openStoreOf), name))
      ctx.stdout.write(`${kind} ${path}\n`)
  },
})
