import { waitContainer } from '../../engine/containers/wait-container.ts'
import { isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'
import { untilInterrupted } from '../until-interrupted.ts'

export default defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  examples: [{ text: 'The exit status of a job', command: 'cairn wait job' }],
  args: { min: 1 },
  flags: {},
  complete: (ctx) => containerNames(ctx),
  async run(ctx, _, names) {
    const store = await ctx.use(openStoreOf)
    return await untilInterrupted(async () => {
      let status = 0
      for (const name of names)
        try {
          // oxlint-disable-next-line no-await-in-loop -- statuses come in the order of the names
          ctx.stdout.write(`${await waitContainer(store, name, ctx.signal)}\n`)
        } catch (error) {
          if (!isCairnError(error) || error.kind === 'canceled') throw error
          ctx.stderr.write(`cairn: ${error.message}\n`)
          status = 1
        }
      return status
    })
  },
})
