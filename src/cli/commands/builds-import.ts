import { importRecord } from '../../records/import-record.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'FILE|-',
  description: 'Reads what `cairn builds export` wrote, here or elsewhere, from a file or from STDIN.',
  examples: [{ text: "Look at a CI job's build", command: 'cairn builds import build.record && cairn builds open' }],
  args: { min: 1, max: 1 },
  flags: {},
  complete: () => 'file',
  async run(ctx, _flags, [path = '']) {
    const { id } = await importRecord(await ctx.use(openStoreOf), path === '-' ? '/dev/stdin' : path)
    ctx.stdout.write(`${id}\n`)
  },
})
