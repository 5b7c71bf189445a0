import { removeVolume } from '../../containers/volume-records.ts'
import { isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { openStoreToFree } from '../open-store.ts'
import { volumeNames } from '../containers/volume-names.ts'

export default defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  description: 'A volume that a container was made with stays until that is removed.',
  examples: [{ text: 'Remove what may not even be there', command: 'cairn volume rm -f scratch' }],
  args: { min: 1 },
  flags: { force: { type: 'bool', short: 'f', summary: 'Force the removal of one or more volumes' } },
  complete: (ctx) => volumeNames(ctx),
  async run(ctx, flags, names) {
    const store = await ctx.use(openStoreToFree)
    let status = 0
    for (const name of names)
      try {
        removeVolume(store, name)
        ctx.stdout.write(`${name}\n`)
      } catch (error) {
        if (!isCairnError(error)) throw error
        if (flags.force && error.code === 'VOLUME_UNKNOWN') {
          ctx.stdout.write(`${name}\n`)
          continue
        }
        ctx.stderr.write(`cairn: ${error.message}\n`)
        status = 1
      }
    return status
  },
})
