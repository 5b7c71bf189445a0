import { CairnError } from '../errors/error.ts'
import type { RemoteAccess } from './access.ts'
import { searchPath, systemProgram } from '../linux/system-program.ts'

/** One setting of git, as `git -c` takes it. */
export type GitSetting = readonly [key: string, value: string]

export interface GitRun {
  readonly access: Pick<RemoteAccess, 'signal' | 'env' | 'limits' | 'sshAgent'>
  /** Settings of this run. They go by the environment, never by arguments, as they may hold a credential. */
  readonly settings?: readonly GitSetting[]
  /** The repository, and where its files are; undefined for commands that need none. */
  readonly gitDir?: string
  readonly workTree?: string
  /** Told of what git says on stderr. */
  readonly log?: ((text: Uint8Array) => void) | undefined
  /** Takes what git writes to stdout piece by piece; what it throws ends git. Without it the output is given back. */
  readonly take?: (piece: Uint8Array) => void
  /** Milliseconds. */
  readonly timeLimit?: number
}

/** Git ended with a status other than 0. */
export class GitFailure extends Error {
  override readonly name = 'GitFailure'
  /** What it said last, without control characters. */
  readonly stderr: string

  constructor(stderr: string) {
    super(`git stderr:\n${stderr}`)
    this.stderr = stderr
  }
}

const hour = 60 * 60 * 1000
/** Bytes of stdout that are taken for an answer, and of stderr that are kept. */
const longestOutput = 16 * 1024 * 1024
const keptStderr = 16 * 1024

/**
 * Settings of every run. Repositories choose what is fetched and how files are written, so nothing that runs commands is
 * left on, and submodules may use the protocols of the network only. Packs are kept whole: what is there is complete.
 */
const standing: readonly GitSetting[] = [
  ['protocol.allow', 'never'],
  ['protocol.http.allow', 'always'],
  ['protocol.https.allow', 'always'],
  ['protocol.git.allow', 'always'],
  ['protocol.ssh.allow', 'always'],
  ['protocol.file.allow', 'user'],
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.logAllRefUpdates', 'false'],
  ['init.defaultBranch', 'master'],
  ['advice.detachedHead', 'false'],
  ['fetch.unpackLimit', '1'],
  ['fetch.recurseSubmodules', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['http.lowSpeedLimit', '1'],
]

/**
 * Runs git with a clean environment and configuration, umask 022 and no way to ask questions, in a process group of its
 * own that is ended with it. Gives its stdout. Throws GitFailure, TOOL_MISSING, NETWORK when it takes too long,
 * LIMIT_EXCEEDED, and the reason of the signal.
 */
export async function runGit(args: readonly string[], run: GitRun): Promise<string> {
  const { access, timeLimit = hour } = run
  access.signal.throwIfAborted()
  const child = Bun.spawn(commandOf(args, access), {
    env: environment(run),
    cwd: run.workTree ?? run.gitDir ?? '/',
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    detached: true,
  })
  const end = (): void => killGroup(child.pid)
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    end()
  }, timeLimit)
  access.signal.addEventListener('abort', end)
  try {
    const [stdout, stderr] = await Promise.all([readOutput(child.stdout, run), readErrors(child.stderr, run)])
    const status = await child.exited
    access.signal.throwIfAborted()
    if (isLate)
      throw new CairnError('NETWORK', `git ${args[0]} took longer than ${Math.round(timeLimit / 1000)} s and was ended`)
    if (status !== 0) throw new GitFailure(stderr)
    return stdout
  } catch (error) {
    end()
    await child.exited
    throw error
  } finally {
    clearTimeout(timer)
    access.signal.removeEventListener('abort', end)
  }
}

/** The program is looked up in the user's PATH and, for those who have a short one, in the usual places. */
export function findProgram(name: string, debianPackage: string, env: RemoteAccess['env']): string {
  const found = systemProgram(name, { path: env['PATH'] })
  if (found !== undefined) return found
  throw new CairnError('TOOL_MISSING', `${name} is not installed`, {
    hint: `Git repositories are fetched with it. Install it: \`apt-get install ${debianPackage}\`.`,
  })
}

/** Where util-linux is there, git ends when this process does, however that ends. */
function commandOf(args: readonly string[], { env }: GitRun['access']): string[] {
  const git = findProgram('git', 'git', env)
  const setpriv = systemProgram('setpriv', { path: env['PATH'] })
  const tied = setpriv === undefined ? [] : [setpriv, '--pdeathsig=KILL', '--']
  return [...tied, 'sh', '-c', 'umask 022; exec "$@"', 'sh', git, ...args]
}

const passedOn = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY', 'GIT_SSL_CAINFO', 'SSL_CERT_DIR']

function environment({ access, settings = [], gitDir, workTree }: GitRun): Record<string, string> {
  const { env, limits, sshAgent } = access
  const all = [...standing, ['http.lowSpeedTime', String(Math.ceil(limits.stall / 1000))] as const, ...settings]
  const certificates = env['SSL_CERT_FILE']
  return {
    ...(certificates === undefined ? {} : { GIT_SSL_CAINFO: certificates }),
    ...Object.fromEntries(
      passedOn
        .flatMap((name) => [name, name.toLowerCase()])
        .flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])),
    ),
    PATH: searchPath(env['PATH']),
    LC_ALL: 'C',
    HOME: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    // Sample hooks and the like, which differ between machines.
    GIT_TEMPLATE_DIR: '',
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: sshCommand(sshAgent),
    ...(sshAgent === undefined ? {} : { SSH_AUTH_SOCK: sshAgent }),
    ...(gitDir === undefined ? {} : { GIT_DIR: gitDir }),
    ...(workTree === undefined ? {} : { GIT_WORK_TREE: workTree }),
    GIT_CONFIG_COUNT: String(all.length),
    ...Object.fromEntries(
      all.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  }
}

/** Keys are those of the agent that was given for this, no others; an unknown host is remembered, a changed one refused. */
function sshCommand(agent: string | undefined): string {
  const keys = agent === undefined ? '-o IdentityAgent=none' : '-o IdentityAgent=SSH_AUTH_SOCK'
  return `ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30 -o ServerAliveInterval=20 -o IdentityFile=none ${keys}`
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

async function readOutput(source: AsyncIterable<Uint8Array>, { take }: GitRun): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const piece of source) {
    if (take !== undefined) {
      take(piece)
      continue
    }
    size += piece.length
    if (size > longestOutput) throw new CairnError('LIMIT_EXCEEDED', `git wrote more than ${longestOutput} bytes`)
    text += decoder.decode(piece, { stream: true })
  }
  return text + decoder.decode()
}

async function readErrors(source: AsyncIterable<Uint8Array>, { log }: GitRun): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of source) {
    log?.(piece)
    text = (text + decoder.decode(piece, { stream: true })).slice(-keptStderr)
  }
  // oxlint-disable-next-line no-control-regex -- what a server says is shown on a terminal
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '').trimEnd()
}
