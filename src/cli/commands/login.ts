import { defaultServer, knownCredentials, login } from '../../engine/registry/login.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { hideInput } from '../../linux/terminal.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { passwordFromStdin } from '../password-stdin.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] [SERVER]',
  description: 'Defaults to Docker Hub if no server is specified.',
  examples: [
    { text: 'With a token from a file', command: 'cairn login -u me --password-stdin ghcr.io < token' },
    { text: 'Asks for name and password', command: 'cairn login registry.example.com' },
  ],
  args: { max: 1 },
  flags: {
    password: { type: 'string', short: 'p', summary: 'Password or Personal Access Token (PAT)' },
    'password-stdin': { type: 'bool', summary: 'Take the Password or Personal Access Token (PAT) from stdin' },
    username: { type: 'string', short: 'u', summary: 'Username' },
  },
  complete: () => [],
  async run(ctx, flags, [server = defaultServer]) {
    const access = registryAccessOf(ctx)
    if (flags.password !== undefined && flags['password-stdin'])
      throw usageError('conflicting options: cannot specify both --password and --password-stdin')
    if (flags['password-stdin'] && flags.username === undefined)
      throw usageError('the --password-stdin option requires --username to be set')
    if (flags.username?.trim() === '') throw usageError('username is empty')
    if (flags.password?.trim() === '') throw usageError('password is empty')
    if (flags.password !== undefined)
      ctx.stderr.write('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n')
    const isAsking = flags.username === undefined && flags.password === undefined
    const known = isAsking ? await knownCredentials(server, access) : undefined
    if (known !== undefined) {
      ctx.stdout.write('Authenticating with existing credentials...\n')
      try {
        await login(server, known, access)
        ctx.stdout.write('Login Succeeded\n')
        return
      } catch (error) {
        if (!(error instanceof CairnError) || error.code !== 'UNAUTHORIZED' || !ctx.stdin.isTTY) throw error
        ctx.stderr.write('Login did not succeed, error: the stored credentials are not taken any more\n')
      }
    }
    // As docker has it neither begins or ends with a space: those come from files and the clipboard.
    const username = (flags.username ?? (await asked(ctx, 'Username: '))).trim()
    const password = (
      flags['password-stdin']
        ? await passwordFromStdin(ctx)
        : (flags.password ?? (await askedSecretly(ctx, 'Password: ')))
    ).trim()
    if (username === '') throw usageError('username is empty')
    if (password === '') throw usageError('password is empty')
    const { plainFile } = await login(server, { kind: 'password', username, password }, access)
    if (plainFile !== undefined)
      ctx.stderr.write(
        `\nWARNING! Your credentials are stored unencrypted in '${plainFile}'.\n` +
          'Configure a credential helper to remove this warning. See\n' +
          'https://docs.docker.com/go/credential-store/\n\n',
      )
    ctx.stdout.write('Login Succeeded\n')
  },
})

async function asked(ctx: CommandContext, prompt: string): Promise<string> {
  if (!ctx.stdin.isTTY)
    throw usageError('Cannot perform an interactive login from a non TTY device', {
      hint: 'Give -u and --password-stdin.',
    })
  ctx.stdout.write(prompt)
  return ((await ctx.stdin.line()) ?? '').trim()
}

async function askedSecretly(ctx: CommandContext, prompt: string): Promise<string> {
  if (!ctx.stdin.isTTY) return await asked(ctx, prompt)
  const restore = hideInput(0)
  process.on('exit', restore)
  try {
    return await asked(ctx, prompt)
  } finally {
    process.off('exit', restore)
    restore()
    ctx.stdout.write('\n')
  }
}
