import { defineCommand } from '../command.ts'
import { helpFor } from '../usage.ts'

export default defineCommand({
  usage: '[COMMAND]',
  args: {},
  flags: {},
  examples: [{ text: 'The options of one command', command: 'cairn help image ls' }],
  async run(ctx, _flags, args) {
    const { table } = await import('../table-of-commands.ts')
    ctx.stdout.write(await helpFor(table, args, ctx.stdout.columns))
  },
})
