import { updateContainer } from '../../engine/containers/update-container.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { parseRestartPolicy } from '../containers/container-flag-values.ts'
import { containerNames } from '../containers/container-names.ts'
import { forEachName } from '../containers/each-container.ts'
import { limitFlags, parseUpdatedLimits } from '../containers/limit-flags.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [
    { text: 'More memory for a container that runs', command: 'cairn update -m 512m --memory-swap 1g web' },
    { text: 'Start it again whenever it ends', command: 'cairn update --restart unless-stopped web' },
  ],
  args: { min: 1 },
  flags: {
    ...limitFlags,
    'kernel-memory': { type: 'bytes', hidden: true, summary: 'Not supported' },
    restart: {
      type: 'string',
      complete: ['no', 'always', 'on-failure', 'unless-stopped'],
      summary: 'Restart policy to apply when a container exits',
    },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    if (flags['kernel-memory'] !== undefined)
      throw new CairnError('NOT_SUPPORTED', '--kernel-memory is not supported: Linux has no such limit any more')
    const limits = parseUpdatedLimits(flags)
    if (limits === undefined && flags.restart === undefined)
      throw new CairnError('CONFIG_INVALID', 'you must provide one or more flags when using this command', {
        exitCode: 1,
      })
    const restart =
      flags.restart === undefined
        ? undefined
        : (parseRestartPolicy(flags.restart) ?? { name: 'no' as const, maximumRetries: 0 })
    const store = await ctx.use(openStoreOf)
    const options = { limits, restart }
    return await forEachName(ctx, names, (name) => updateContainer(store, name, options))
  },
})
