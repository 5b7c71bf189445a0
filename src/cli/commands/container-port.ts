import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../container-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  args: { min: 1, max: 2 },
  flags: {},
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, _, [name = '', port]) {
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    resolveContainer(store, name)
    // Nothing is published: containers share the host's network or have none.
    if (port !== undefined)
      throw new CairnError('NOT_SUPPORTED', `No public port '${port}' published for ${name}`, { exitCode: 1 })
  },
})
