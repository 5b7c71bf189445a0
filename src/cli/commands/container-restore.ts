import { restoreContainers } from '../../engine/containers/restore-containers.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '',
  description:
    'Starts containers whose restart policy is "always", those of "unless-stopped" that nobody stopped, and those of "on-failure" that ended with the machine. To be called when the machine has started: `cairn container systemd` prints a unit that does.',
  examples: [{ text: 'After the machine has started', command: 'cairn container restore' }],
  args: { max: 0 },
  flags: {},
  async run(ctx) {
    const failures = await restoreContainers(await ctx.use(openStoreOf), {
      signal: ctx.signal,
      onStart: (name) => ctx.stdout.write(`${name}\n`),
    })
    for (const { name, error } of failures) ctx.stderr.write(`cairn: ${name}: ${error.message}\n`)
    return failures.length > 0 ? 1 : 0
  },
})
