import { CairnError } from '../../errors/error.ts'
import { findRecord } from '../../records/build-records.ts'
import { defineCommand } from '../command.ts'
import { renderExplanation } from '../build/explanation-text.ts'
import { openStoreOf } from '../open-store.ts'
import { renderObjects } from '../printer.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD]',
  description:
    'Without BUILD the newest. Of every step it says whether it came from the cache; of one that did not what is different\nfrom the last time, whether it would have been cached otherwise, and what to do about it.',
  examples: [
    { text: 'Why did the last build take so long?', command: 'cairn explain' },
    { text: 'The causes, for a program', command: 'cairn explain --format json' },
  ],
  args: { max: 1 },
  flags: { format: objectFormatFlag },
  output: 'collected',
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, [text]) {
    const { id, name, status, end } = findRecord(await ctx.use(openStoreOf), text)
    if (end === undefined)
      throw new CairnError(
        'RECORD_IN_USE',
        `build ${id} ${status === 'running' ? 'is still running' : 'was interrupted'}: nothing is known of its steps`,
      )
    const object = { Ref: id, Name: name, Status: status, Steps: end.steps }
    if (flags.format === '') ctx.stdout.write(renderExplanation(end.steps))
    else if (flags.format === 'json') ctx.stdout.write(`${JSON.stringify(object, undefined, 2)}\n`)
    else ctx.stdout.write(renderObjects([object], flags.format))
  },
})
