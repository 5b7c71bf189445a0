import { openFileSink } from '../../linux/file-sink.ts'
import { findRecord } from '../../records/build-records.ts'
import { readItems } from '../../records/record-reader.ts'
import { buildTimeline } from '../../records/timeline.ts'
import { renderTimelinePage } from '../../records/timeline-page.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD]',
  description:
    'Without BUILD the newest. The page shows when each step ran, why, which of them decided how long the build took, and\nwhat would be gained if a cause of misses went away. It is one file and loads nothing.',
  examples: [
    { text: 'The last build', command: 'cairn builds timeline -o build.html' },
    { text: 'For other programs', command: 'cairn builds timeline --format json | jq .costs' },
  ],
  args: { max: 1 },
  flags: {
    format: { type: 'string', default: 'html', oneOf: ['html', 'json'], summary: 'What to write: html or json' },
    output: { type: 'string', short: 'o', complete: 'file', summary: 'Write to a file, instead of STDOUT' },
  },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, [text]) {
    const record = findRecord(await ctx.use(openStoreOf), text)
    const timeline = await buildTimeline(record, readItems(record.path))
    const page =
      flags.format === 'json' ? `${JSON.stringify(timeline, undefined, 2)}\n` : renderTimelinePage(record, timeline)
    if (flags.output === undefined) {
      ctx.stdout.write(page)
      return
    }
    using file = openFileSink(flags.output)
    file.write(new TextEncoder().encode(page))
    file.commit()
  },
})
