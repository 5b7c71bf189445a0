import { execInContainer } from '../../engine/containers/exec-container.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { containerStreams } from '../containers/container-streams.ts'
import { parseDetachKeys } from '../containers/detach-keys.ts'
import { parseEnvFlags } from '../containers/env-flags.ts'
import { openStoreOf } from '../open-store.ts'

/** They mean something with a terminal only. Throws CONFIG_INVALID in docker's words, NOT_SUPPORTED. */
function checkDetachKeys(text: string | undefined, tty: boolean): void {
  if (text === undefined || text === '') return
  try {
    parseDetachKeys(text)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError('CONFIG_INVALID', `Invalid escape keys (${text}) provided`, { exitCode: 1 })
  }
  if (tty)
    throw new CairnError('NOT_SUPPORTED', 'a terminal of exec cannot be left by --detach-keys', {
      hint: 'Run the command with -d where it is to go on by itself.',
    })
}

export default defineCommand({
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  description:
    'The exit status is that of the command; 126 for one that cannot be run and 127 for one that is not there. The command goes on when this process is killed.',
  examples: [
    { text: 'A shell in a running container', command: 'cairn exec -it web sh' },
    { text: 'A job that nobody waits for', command: 'cairn exec -d web sh -c "sleep 60; rm -rf /tmp/cache"' },
  ],
  args: { min: 2 },
  interspersed: false,
  flags: {
    'detach-keys': { type: 'string', hidden: true, summary: 'Keys that leave a container; not with a terminal' },
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
    checkDetachKeys(flags['detach-keys'], flags.tty)
    const env = parseEnvFlags(flags['env-file'], flags.env, ctx.env)
    const { workdir, user } = flags
    if (workdir !== undefined && workdir !== '' && !workdir.startsWith('/'))
      throw new CairnError('CONFIG_INVALID', `Cwd must be an absolute path: ${workdir}`, { exitCode: 1 })
    const streams = flags.detach ? undefined : containerStreams(ctx, { ...flags, attach: [], 'sig-proxy': true })
    const store = await ctx.use(openStoreOf)
    return await execInContainer(store, name, {
      command,
      env,
      privileged: flags.privileged,
      tty: flags.tty,
      streams,
      ...(user === undefined || user === '' ? {} : { user }),
      ...(workdir === undefined || workdir === '' ? {} : { workingDirectory: workdir }),
    })
  },
})
