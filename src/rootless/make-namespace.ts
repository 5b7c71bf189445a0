import { CairnError } from '../errors/error.ts'
import { processStatus, reapProcess, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { systemProgram } from '../linux/system-program.ts'
import { writeTextFile } from '../linux/text-file.ts'
import { namespaceOf } from '../linux/namespaces.ts'
import { type NamespaceRecord, processScope } from './namespace-record.ts'
import { type HostUser, hostUser, readSubordinateRanges, subordinateFiles } from './subordinate-ids.ts'

const places = '/usr/sbin:/usr/bin:/sbin:/bin'

/** As {@link systemProgram}. Throws TOOL_MISSING. */
export function requireProgram(name: string, owner: string): string {
  const path = systemProgram(name)
  if (path !== undefined) return path
  throw new CairnError('TOOL_MISSING', `working without root needs ${name}, which is not installed`, {
    hint: `Install it: \`apt-get install ${owner}\`.`,
  })
}

type Keeper = Bun.Subprocess<'ignore', 'ignore', 'ignore'>

/**
 * Makes a user namespace in which this user is root, and a network namespace that belongs to it, with a process that
 * keeps both. Its ids are those of /etc/subuid and /etc/subgid besides the user's own, or that one alone where there are
 * none. Throws NOT_SUPPORTED where this machine does not allow it, TOOL_MISSING, TOOL_FAILED.
 */
export function makeNamespace(): NamespaceRecord {
  const own = namespaceOf('self', 'user')
  const keeper = startKeeper([requireProgram('unshare', 'util-linux'), '--user', '--net'])
  try {
    awaitNamespace(keeper, (user) => user !== own)
    const single = mapIds(keeper.pid)
    checkUsable(keeper.pid)
    return recordOf(keeper, single)
  } catch (error) {
    keeper.kill('SIGKILL')
    throw error
  }
}

/**
 * Starts another keeper for a namespace that some process, `survivor` (this one, perhaps), is still in. Throws as
 * {@link makeNamespace}.
 */
export function keepNamespace(
  record: Pick<NamespaceRecord, 'user' | 'net' | 'single' | 'connection'>,
  survivor: number,
): NamespaceRecord {
  const target = ['--preserve-credentials', '--target', String(survivor)]
  const isInside = namespaceOf('self', 'user') === record.user
  const hasNetwork = namespaceOf(survivor, 'net') === record.net
  const command = [
    ...(isInside && !hasNetwork ? [] : [requireProgram('nsenter', 'util-linux'), ...target]),
    ...(isInside ? [] : ['--user']),
    ...(hasNetwork ? ['--net'] : [requireProgram('unshare', 'util-linux'), '--net']),
  ]
  const keeper = startKeeper(command)
  awaitNamespace(keeper, (user) => user === record.user)
  const { connection } = record
  // It connects a network that is no more.
  if (!hasNetwork && connection !== undefined) signalProcess(connection, signalNumbers.SIGKILL)
  return { ...recordOf(keeper, record.single), ...(hasNetwork && connection !== undefined ? { connection } : {}) }
}

/** The command before it goes on as a sleeper, so the number of the process stays. */
function startKeeper(command: readonly string[]): Keeper {
  return Bun.spawn([...command, requireProgram('sleep', 'coreutils'), 'infinity'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: places, LC_ALL: 'C' },
    detached: true,
  })
}

function recordOf(keeper: Keeper, single: string | undefined): NamespaceRecord {
  const { pid } = keeper
  return {
    keeper: { pid, startTime: processStatus(pid)?.startTime ?? 0 },
    scope: processScope(),
    user: namespaceOf(pid, 'user') ?? '',
    net: namespaceOf(pid, 'net') ?? '',
    ...(single === undefined ? {} : { single }),
  }
}

/** Milliseconds that entering new namespaces may take. */
const patience = 5_000
const pause = 1

/** Waits until the keeper is in its namespaces. */
function awaitNamespace(keeper: Keeper, isWanted: (user: string) => boolean): void {
  const ownNet = namespaceOf('self', 'net')
  const deadline = performance.now() + patience
  for (;;) {
    const status = processStatus(keeper.pid)
    if (status === undefined || status.isZombie) throw refused()
    const user = namespaceOf(keeper.pid, 'user')
    const net = namespaceOf(keeper.pid, 'net')
    if (user !== undefined && isWanted(user) && net !== undefined && net !== ownNet) return
    if (performance.now() > deadline) throw refused()
    Bun.sleepSync(pause)
  }
}

/** A machine may allow the namespace and yet nothing in it, by AppArmor for one. Throws NOT_SUPPORTED. */
function checkUsable(pid: number): void {
  const enter = [requireProgram('nsenter', 'util-linux'), '--user', '--preserve-credentials', '--target', String(pid)]
  const { exitCode } = Bun.spawnSync([...enter, requireProgram('unshare', 'util-linux'), '--mount', 'true'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: places },
  })
  if (exitCode !== 0) throw refused()
}

function refused(): CairnError {
  return new CairnError(
    'NOT_SUPPORTED',
    'this machine lets users without root make no user namespaces, or do nothing in them',
    {
      hint:
        'Its administrator can allow it: sysctl user.max_user_namespaces must not be 0, nor may kernel.unprivileged_userns_clone ' +
        'or kernel.apparmor_restrict_unprivileged_userns be in the way. Or run cairn as root.',
    },
  )
}

/** Gives ids to the namespace of `pid`; why it is only one where it is. */
function mapIds(pid: number): string | undefined {
  const user = hostUser(process.geteuid?.() ?? 0)
  const group = process.getegid?.() ?? 0
  const missing = missingRanges(user)
  if (missing === undefined) {
    callMapper('newuidmap', pid, user.id, readSubordinateRanges('uid', user))
    callMapper('newgidmap', pid, group, readSubordinateRanges('gid', user))
    return undefined
  }
  writeTextFile(`/proc/${pid}/uid_map`, `0 ${user.id} 1\n`)
  // Without it groups could be dropped, and rights gained, by who may not: user_namespaces(7).
  writeTextFile(`/proc/${pid}/setgroups`, 'deny')
  writeTextFile(`/proc/${pid}/gid_map`, `0 ${group} 1\n`)
  return missing
}

function missingRanges(user: HostUser): string | undefined {
  for (const program of ['newuidmap', 'newgidmap'])
    if (systemProgram(program) === undefined) return `${program} is not installed (apt-get install uidmap)`
  const owner = user.name ?? String(user.id)
  for (const kind of ['uid', 'gid'] as const)
    if (readSubordinateRanges(kind, user).length === 0)
      return `${subordinateFiles[kind]} has no line for ${owner} (${rangesCommand(owner)})`
  return undefined
}

/** What gives ranges to an account. */
function rangesCommand(owner: string): string {
  return `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${owner}`
}

function callMapper(
  name: string,
  pid: number,
  own: number,
  ranges: readonly { readonly first: number; readonly length: number }[],
): void {
  const words = [String(pid), '0', String(own), '1']
  let inside = 1
  for (const { first, length } of ranges) {
    words.push(String(inside), String(first), String(length))
    inside += length
  }
  const { exitCode, stderr } = Bun.spawnSync([requireProgram(name, 'uidmap'), ...words], {
    stdin: 'ignore',
    stdout: 'ignore',
    env: { PATH: places, LC_ALL: 'C' },
  })
  if (exitCode === 0) return
  throw new CairnError('TOOL_FAILED', `${name}: ${stderr.toString().trim() || `ended with ${exitCode}`}`, {
    hint: 'newuidmap and newgidmap must be set-user-ID root or have the capabilities setuid and setgid, on a file system that allows it.',
  })
}

/** Ends what keeps a namespace, and what connects its network. */
export function endKeepers({ keeper, connection }: NamespaceRecord): void {
  for (const one of [connection, keeper])
    if (one !== undefined && signalProcess(one, signalNumbers.SIGKILL)) reapProcess(one.pid)
}
