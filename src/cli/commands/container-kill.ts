import { killContainer } from '../../engine/containers/kill-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { forEachName } from '../containers/each-container.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [{ text: 'A signal for a service to read its configuration again', command: 'cairn kill -s HUP web' }],
  args: { min: 1 },
  flags: { signal: { type: 'string', short: 's', summary: 'Signal to send to the container' } },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreOf)
    const signal = flags.signal === undefined || flags.signal === '' ? 'SIGKILL' : flags.signal
    return await forEachName(ctx, names, (name) => killContainer(store, name, signal))
  },
})
