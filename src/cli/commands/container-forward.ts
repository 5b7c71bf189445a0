import { forwardPorts } from '../../networks/forwarding.ts'
import type { PublishedPort } from '../../networks/network.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: 'ID [NETWORK_NAMESPACE]',
  args: { min: 1, max: 2 },
  flags: {},
  async run(ctx, _, [, namespace]) {
    const told = await Bun.stdin.text()
    // Whoever started it was killed before it was recorded.
    if (told === '') return 1
    const ports = JSON.parse(told) as readonly PublishedPort[]
    const failed = await forwardPorts(ports, namespace)
    ctx.stdout.write(failed === undefined ? 'ready\n' : `${ports.indexOf(failed.taken)}\n`)
    if (failed !== undefined) return 1
    return await new Promise<never>(() => {})
  },
})
