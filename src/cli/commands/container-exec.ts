import { execInContainer } from '../../engine/containers/exec-container.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { detachKeysFlag } from '../containers/container-flags.ts'
import { execStreams } from '../containers/exec-streams.ts'
import { detached, parseDetachKeys } from '../containers/detach-keys.ts'
import { parseEnvFlags } from '../containers/env-flags.ts'
import { openStoreOf } from '../open-store.ts'

/** Throws CONFIG_INVALID in docker's words, which are others than those of `run`. */
function readDetachKeys(text: string | undefined): readonly number[] {
  try {
    return parseDetachKeys(text)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError('CONFIG_INVALID', `Invalid escape keys (${text ?? ''}) provided`, { exitCode: 1 })
  }
}

export default defineCommand({
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  description:
    'The exit status is that of the command; 126 for one that cannot be run and 127 for one that is not there. The command goes on when this process is killed, unless it has a terminal. The detach keys leave one with a terminal, which goes on: ctrl-p ctrl-q.',
  examples: [
    { text: 'A shell in a running container', command: 'cairn exec -it web sh' },
    { text: 'A job that nobody waits for', command: 'cairn exec -d web sh -c "sleep 60; rm -rf /tmp/cache"' },
  ],
  args: { min: 2 },
  interspersed: false,
  flags: {
    ...detachKeysFlag,
    detach: { type: 'bool', short: 'd', summary: 'Detached mode: run command in the background' },
    env: { type: 'stringArray', short: 'e', value: 'list', summary: 'Set environment variables' },
    'env-file': {
      type: 'stringArray',
      value: 'list',
      complete: 'file',
      summary: 'Read in a file of environment variables',
    },
    interactive: { type: 'bool', short: 'i', summary: 'Keep STDIN open even if not attached' },
    privileged: { type: 'bool', summary: 'Give extended privileges to the command' },
    tty: { type: 'bool', short: 't', summary: 'Allocate a pseudo-TTY' },
    user: { type: 'string', short: 'u', summary: 'Username or UID (format: "<name|uid>[:<group|gid>]")' },
    workdir: { type: 'string', short: 'w', summary: 'Working directory inside the container' },
  },
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : 'file'),
  async run(ctx, flags, [name = '', ...command]) {
    const detachKeys = readDetachKeys(flags['detach-keys'])
    const env = parseEnvFlags(flags['env-file'], flags.env, ctx.env)
    const { workdir, user } = flags
    if (workdir !== undefined && workdir !== '' && !workdir.startsWith('/'))
      throw new CairnError('CONFIG_INVALID', `Cwd must be an absolute path: ${workdir}`, { exitCode: 1 })
    const streams = flags.detach ? undefined : execStreams(ctx, flags, detachKeys)
    const store = await ctx.use(openStoreOf)
    const ended = await execInContainer(store, name, {
      command,
      env,
      privileged: flags.privileged,
      tty: flags.tty,
      streams,
      ...(user === undefined || user === '' ? {} : { user }),
      ...(workdir === undefined || workdir === '' ? {} : { workingDirectory: workdir }),
    })
    return ended === 'detached' ? detached(ctx) : ended
  },
})
