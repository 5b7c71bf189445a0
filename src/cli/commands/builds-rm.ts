import { isCairnError, usageError } from '../../errors/error.ts'
import { removeAllRecords, removeRecord } from '../../records/build-records.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { openStoreToFree } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD...]',
  description: 'Records are logs and explanations: images and the build cache stay.',
  examples: [{ text: 'All but those of builds that run', command: 'cairn builds rm --all' }],
  args: {},
  flags: { builder: builderFlag, all: { type: 'bool', summary: 'Remove all build records' } },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, texts) {
    if (!flags.all && texts.length === 0) throw usageError('rm requires at least one argument')
    if (flags.all && texts.length > 0) throw usageError('cannot specify refs when using --all')
    const store = await ctx.use(openStoreToFree)
    if (flags.all) {
      removeAllRecords(store)
      return 0
    }
    let status = 0
    for (const text of texts)
      try {
        ctx.stdout.write(`${removeRecord(store, text)}\n`)
      } catch (error) {
        if (!isCairnError(error)) throw error
        ctx.stderr.write(`cairn: ${error.message}\n`)
        status = 1
      }
    return status
  },
})
