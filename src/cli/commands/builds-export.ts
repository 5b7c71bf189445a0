import { CairnError, usageError } from '../../errors/error.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { findRecord } from '../../records/build-records.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD]',
  description:
    'Without BUILD the newest. The file has its log, times and explanations; `cairn builds import` reads it.',
  examples: [{ text: 'Keep the record of a CI job', command: 'cairn builds export -o build.record' }],
  args: { max: 1 },
  flags: {
    builder: builderFlag,
    output: { type: 'string', short: 'o', complete: 'file', summary: 'Write to a file, instead of STDOUT' },
  },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, [text]) {
    const record = findRecord(await ctx.use(openStoreOf), text)
    if (record.status === 'running') throw new CairnError('RECORD_IN_USE', `build ${record.id} is still running`)
    if (flags.output === undefined && ctx.stdout.isTTY)
      throw usageError('refusing to write a record to a terminal', { hint: 'Use -o or redirect.' })
    using file = flags.output === undefined ? undefined : openFileSink(flags.output)
    for await (const bytes of Bun.file(record.path).stream()) {
      if (file === undefined) ctx.stdout.write(bytes)
      else file.write(bytes)
    }
    file?.commit()
  },
})
