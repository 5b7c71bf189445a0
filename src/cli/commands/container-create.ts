import { createMonitoredContainer } from '../../engine/containers/create-container.ts'
import { defineCommand } from '../command.ts'
import { isCairnError } from '../../errors/error.ts'
import {
  asContainerFailure,
  type ContainerPlan,
  planContainer,
  withImage,
  writeIdFile,
} from '../containers/container-creation.ts'
import { containerFlags, missingFlags } from '../containers/container-flags.ts'
import type { FlagValues } from '../flags.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  examples: [{ text: 'A container to start later', command: 'cairn create --name job busybox sh -c "echo done"' }],
  args: { min: 1 },
  flags: { ...missingFlags, ...containerFlags },
  interspersed: false,
  complete: (ctx, _, args) => (args.length === 0 ? imageNames(ctx) : 'file'),
  async run(ctx, values, [image = '', ...command]) {
    const flags = values as unknown as FlagValues<typeof containerFlags>
    const plan = planned(ctx, values, image, command)
    try {
      const store = await ctx.use(openStoreOf)
      const stdinOnce = plan.request.attached?.includes('stdin') === true
      const { id } = await withImage(ctx, store, flags, plan, () =>
        createMonitoredContainer(store, { ...plan, request: { ...plan.request, stdinOnce } }),
      )
      writeIdFile(flags.cidfile, id)
      ctx.stdout.write(`${id}\n`)
    } catch (error) {
      throw asContainerFailure(error, 1)
    }
  },
})

/** What is wrong with the command line has another status than what keeps the container from being made, as docker has it. */
function planned(...args: Parameters<typeof planContainer>): ContainerPlan {
  try {
    return planContainer(...args)
  } catch (error) {
    const isRefused = isCairnError(error, 'CONFIG_INVALID') || isCairnError(error, 'NOT_SUPPORTED')
    throw asContainerFailure(error, isRefused ? 1 : 125)
  }
}
