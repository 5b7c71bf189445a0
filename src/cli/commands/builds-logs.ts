import { replayBuild } from '../../engine/build/replay-build.ts'
import { createDisplay } from '../../progress/create-display.ts'
import { renderWarnings } from '../../progress/warnings.ts'
import { findRecord } from '../../records/build-records.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD]',
  description:
    'Without BUILD the newest. The log is whole, however long it is; that of a build which runs is followed to its end.',
  examples: [
    { text: 'The last build', command: 'cairn builds logs' },
    { text: 'One step of the build before it', command: "cairn builds logs --step 'npm ci' ^1" },
  ],
  args: { max: 1 },
  flags: {
    builder: builderFlag,
    progress: {
      type: 'string',
      default: 'plain',
      oneOf: ['plain', 'rawjson', 'tty'],
      summary: 'Set type of progress output (plain, rawjson, tty)',
    },
    step: { type: 'string', summary: 'Only the steps whose titles have this text' },
  },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, [text]) {
    const record = findRecord(await ctx.use(openStoreOf), text)
    const mode = flags.progress === 'rawjson' || flags.progress === 'tty' ? flags.progress : 'plain'
    const display = createDisplay(mode, ctx.stdout, ctx.env)
    const { step } = flags
    try {
      const warnings = await replayBuild(record, display, { step, signal: ctx.signal })
      display.finish()
      if (mode !== 'rawjson' && step === undefined)
        ctx.stdout.write(renderWarnings(warnings, { expanded: ctx.debug, colored: false }))
    } finally {
      display.finish()
    }
  },
})
