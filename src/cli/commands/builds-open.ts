import { CairnError } from '../../errors/error.ts'
import { userProgram } from '../../linux/system-program.ts'
import { findRecord } from '../../records/build-records.ts'
import { readItems } from '../../records/record-reader.ts'
import { buildTimeline } from '../../records/timeline.ts'
import { renderTimelinePage } from '../../records/timeline-page.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { recordIds } from '../build/record-names.ts'
import { writeFile } from '../write-file.ts'

export default defineCommand({
  usage: '[BUILD]',
  description:
    'Without BUILD the newest. Writes the page of `builds timeline` to a temporary file and opens it by xdg-open.',
  examples: [{ text: 'Look at the last build', command: 'cairn builds open' }],
  args: { max: 1 },
  flags: { builder: builderFlag },
  complete: (ctx) => recordIds(ctx),
  async run(ctx, _flags, [text]) {
    const record = findRecord(await ctx.use(openStoreOf), text)
    const opener = userProgram('xdg-open', ctx.env)
    if (opener === undefined)
      throw new CairnError('NOT_SUPPORTED', 'there is no xdg-open on this machine to show a page with', {
        hint: `Write the page with: cairn builds timeline -o build.html ${record.id}`,
      })
    const page = renderTimelinePage(record, await buildTimeline(record, readItems(record.path)))
    const { mkdtemp } = await import('node:fs/promises')
    const path = `${await mkdtemp(`${ctx.env['TMPDIR'] ?? '/tmp'}/cairn-`)}/${record.id}.html`
    writeFile(path, page)
    const { exited } = Bun.spawn([opener, path], { stdio: ['ignore', 'ignore', 'ignore'] })
    const status = await exited
    if (status !== 0)
      throw new CairnError('NOT_SUPPORTED', `xdg-open ended with status ${status}`, { hint: `The page is ${path}.` })
    ctx.stdout.write(`${path}\n`)
  },
})
