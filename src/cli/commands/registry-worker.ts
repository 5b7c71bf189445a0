import { runRegistryWorker } from '../../engine/registry/registry-worker.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '',
  args: { max: 0 },
  flags: {},
  async run(ctx) {
    const config = await Bun.stdin.text()
    const store = await ctx.use(openStoreOf)
    const print = (line: string) => ctx.stderr.write(`${line}\n`)
    await runRegistryWorker(config, { store, env: ctx.env, print, signal: ctx.signal })
  },
})
