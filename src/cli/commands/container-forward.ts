import { forwardPorts } from '../../networks/forwarding.ts'
import type { PublishedPort } from '../../networks/network.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: 'ID',
  args: { min: 1, max: 1 },
  flags: {},
  async run(ctx) {
    const ports = JSON.parse(await Bun.stdin.text()) as readonly PublishedPort[]
    const failed = await forwardPorts(ports)
    ctx.stdout.write(failed === undefined ? 'ready\n' : `${ports.indexOf(failed.taken)}\n`)
    if (failed !== undefined) return 1
    return await new Promise<never>(() => {})
  },
})
