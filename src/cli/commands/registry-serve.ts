import { serveRegistry } from '../../engine/serve-registry.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Serves the OCI distribution API. Images are kept in the store, their blobs once for the registry and for local images. SIGTERM ends it when the requests under way have ended.',
  examples: [{ text: 'A registry on this machine', command: 'cairn registry serve' }],
  args: { max: 0 },
  flags: {
    addr: { type: 'string', value: 'address', default: '127.0.0.1:5000', summary: 'Address and port to listen on' },
  },
  async run(ctx, flags) {
    const { hostname, port } = parseAddress(flags.addr)
    const store = await ctx.use(openStoreOf)
    const { signal } = ctx
    const server = serveRegistry(store, { hostname, port })
    ctx.stderr.write(`Registry at ${server.url.origin}\n`)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    await server.stop(30_000)
    return 0
  },
})

function parseAddress(text: string): { readonly hostname: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new CairnError('USAGE', `--addr is not ADDRESS:PORT: ${JSON.stringify(text)}`)
  return { hostname: match[1] ?? (match[2] === '' ? '0.0.0.0' : (match[2] as string)), port }
}
