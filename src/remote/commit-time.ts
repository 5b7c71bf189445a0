import { CairnError } from '../errors/error.ts'
import { userProgram } from '../linux/system-program.ts'

/** Milliseconds: a repository may have a pipe where git expects a file. */
const patience = 10_000

/**
 * When the commit that is checked out in the work tree around `directory` was made, in seconds since 1970; undefined where
 * there is none, or no git. `env` is that of the command; what it says of other repositories is left out. Throws
 * NOT_SUPPORTED where git does not trust the repository.
 */
export function checkoutTime(
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
  limit = patience,
): number | undefined {
  const git = userProgram('git', env)
  if (git === undefined) return undefined
  const kept = Object.entries(env).filter(([name]) => !name.startsWith('GIT_'))
  // It reads one object and runs nothing that the repository's configuration names: no protocol is allowed, whatever that says,
  // by which an object that is missing could be fetched from a program.
  const argv = [git, '-C', directory, 'rev-list', '--max-count=1', '--timestamp', 'HEAD', '--']
  const { success, stdout, stderr, exitedDueToTimeout } = Bun.spawnSync(argv, {
    timeout: limit,
    killSignal: 'SIGKILL',
    env: {
      ...Object.fromEntries(kept),
      LC_ALL: 'C',
      GIT_ALLOW_PROTOCOL: '',
      GIT_NO_LAZY_FETCH: '1',
      GIT_OPTIONAL_LOCKS: '0',
    },
    stdin: 'ignore',
  })
  if (exitedDueToTimeout === true)
    throw new CairnError('NOT_SUPPORTED', `git did not tell the commit of ${directory} in ${limit / 1000} seconds`, {
      hint: 'Give SOURCE_DATE_EPOCH as a number.',
    })
  const seconds = /^(\d{1,15}) [0-9a-f]+$/m.exec(stdout.toString())?.[1]
  if (success && seconds !== undefined) return Number(seconds)
  if (stderr.toString().includes('dubious ownership'))
    throw new CairnError('NOT_SUPPORTED', `git does not trust the repository of ${directory}: another user owns it`, {
      hint: `Allow it with git config --global --add safe.directory ${directory}, or give SOURCE_DATE_EPOCH as a number.`,
    })
  return undefined
}
