import { createApiToken } from '../../engine/registry/create-api-token.ts'
import { CairnError } from '../../errors/error.ts'
import { repositoryActions, type RepositoryAction } from '../../registry/access/rules.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: '[OPTIONS] USER',
  description:
    'Makes an API token of a user, for programs that log in to a registry server, and prints it. The file of tokens, which the server reads again when it changes, gets its digest only. A token is used as the password of any login, or as a bearer token, and may do no more than its user.',
  examples: [
    {
      text: 'A token that can pull from one team for 30 days',
      command: "cairn registry token --file tokens.toml --repository 'team/**' --allow pull --expires 720h ci",
    },
  ],
  args: { min: 1, max: 1 },
  flags: {
    file: { type: 'string', value: 'file', complete: 'file', summary: 'File of tokens to add it to (required)' },
    repository: { type: 'stringArray', value: 'pattern', summary: 'Repositories it is for (default all)' },
    allow: {
      type: 'stringSlice',
      value: 'action',
      complete: repositoryActions,
      summary: 'pull, push, overwrite, delete (default all)',
    },
    expires: { type: 'duration', summary: 'How long it counts (default for ever)' },
  },
  async run(ctx, flags, [user = '']) {
    if (flags.file === undefined) throw new CairnError('USAGE', 'the file of tokens is not given: --file')
    const token = await createApiToken(flags.file, {
      user,
      repositories: flags.repository.length === 0 ? ['**'] : flags.repository,
      allow: flags.allow.length === 0 ? repositoryActions : flags.allow.map(parseAction),
      expiresAt: flags.expires === undefined ? undefined : new Date(Date.now() + flags.expires),
    })
    ctx.stdout.write(`${token}\n`)
  },
})

function parseAction(text: string): RepositoryAction {
  const action = repositoryActions.find((one) => one === text)
  if (action !== undefined) return action
  throw new CairnError('USAGE', `--allow has ${JSON.stringify(text)}; there are ${repositoryActions.join(', ')}`)
}
