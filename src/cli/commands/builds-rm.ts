import { usageError } from '../../errors/error.ts'
import { findRecord, listRecords, removeRecord } from '../../records/build-records.ts'
import { defineCommand } from '../command.ts'
import { openStoreToFree } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD...]',
  description: 'Records are logs and explanations: images and the build cache stay.',
  examples: [{ text: 'All but those of builds that run', command: 'cairn builds rm --all' }],
  args: {},
  flags: { all: { type: 'bool', summary: 'Remove all build records' } },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, texts) {
    if (!flags.all && texts.length === 0) throw usageError('rm requires at least one argument')
    if (flags.all && texts.length > 0) throw usageError('cannot specify refs when using --all')
    const store = await ctx.use(openStoreToFree)
    const records = flags.all
      ? listRecords(store).filter(({ status }) => status !== 'running')
      : texts.map((text) => findRecord(store, text))
    for (const record of records) {
      removeRecord(record)
      if (!flags.all) ctx.stdout.write(`${record.id}\n`)
    }
  },
})
