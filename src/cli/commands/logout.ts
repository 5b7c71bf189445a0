import { defaultServer, logout } from '../../engine/registry/login.ts'
import { defineCommand } from '../command.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[SERVER]',
  description: 'If no server is specified, the default is Docker Hub.',
  examples: [{ text: 'Forget the credentials of a registry', command: 'cairn logout registry.example.com' }],
  args: { max: 1 },
  flags: {},
  complete: () => [],
  async run(ctx, _flags, [server = defaultServer]) {
    const wasKnown = await logout(server, registryAccessOf(ctx))
    ctx.stdout.write(wasKnown ? `Removing login credentials for ${server}\n` : `Not logged in to ${server}\n`)
  },
})
