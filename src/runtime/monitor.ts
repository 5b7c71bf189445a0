import { CairnError } from '../errors/error.ts'
import { modifiedAt, tryStat } from '../linux/file-status.ts'
import { close } from '../linux/files.ts'
import { inMountNamespaceCopy } from '../linux/mount-namespace.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { openPipe, readPipe } from '../linux/pipes.ts'
import { type ProcessIdentity, processStatus } from '../linux/processes.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { systemProgram } from '../linux/system-program.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { rootlessEnvironment } from '../rootless/namespace.ts'
import { writeBundle } from './bundle.ts'
import { withHostCgroups } from './cgroups.ts'
import { lastLoggedError, runtimeError } from './outcome.ts'
import { checkRootFileSystem } from './root-file-system.ts'
import type { OciRuntime } from './runtime.ts'

/**
 * Containers that outlive the Cairn process which starts them. conmon, a program of 2 MB, is the parent of each: it
 * holds the container's input, output and terminal, writes the log, notes the exit status and then calls Cairn.
 * https://github.com/containers/conmon
 */

/** Files that the monitor keeps in a container's bundle. */
const files = {
  /** Takes the id as a file name and the exit status as its text. */
  exits: 'exits',
  /** Is there when the kernel ended a process for want of memory. */
  oom: 'oom',
  monitorPid: 'monitor.pid',
  initPid: 'init.pid',
  runtimeLog: 'runtime.log',
  windowSize: 'winsz',
} as const

/** The socket of a bundle that gives what the container writes and takes what it reads. */
export const attachSocket = 'attach'

/** The pipe of a bundle that takes `1 ROWS COLUMNS` for the size of the terminal. */
export const controlFile = 'ctl'

/** What {@link createMonitored} is given. */
export interface MonitorOptions {
  /** Letters, digits, `_`, `-`, `.`. */
  readonly id: string
  readonly spec: RuntimeSpec
  /** Existing directory, this container's alone. */
  readonly bundle: string
  /** Keeps what is made once for all containers; made where it is not there. */
  readonly stateDirectory: string
  /** Where a runtime keeps its state of containers that have a monitor. */
  readonly runtimeRoot: (runtime: OciRuntime['name']) => string
  readonly runtime?: OciRuntime | undefined
  /** File that the output is appended to, with times; none is written where it is absent. */
  readonly log?: string
  /** Bytes after which the log begins anew. */
  readonly logSize?: number
  /** The container has an input that others may attach to; without it that is at its end. */
  readonly stdin: boolean
  /** The input stays open when one who was attached to it has left. */
  readonly keepStdin: boolean
  /** Run when the container has ended. */
  readonly exitCommand: readonly string[]
  /** Mounts the root file system; called in a mount namespace that is the container's own. */
  readonly mountRoot: () => void
}

/** A container and its monitor. */
export interface MonitoredContainer {
  readonly runtime: OciRuntime
  /** Where it keeps its state of the container. */
  readonly runtimeRoot: string
  readonly monitor: ProcessIdentity
  /** The container's first process. */
  readonly init: ProcessIdentity
}

/**
 * Makes a container that waits to be started by {@link startMonitored}, with a monitor of its own. What it mounts lives
 * as long as the two of them.
 *
 * Throws TOOL_MISSING without conmon; COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE and RUNTIME_FAILED, CONFIG_INVALID as run() does;
 * RUNTIME_MISSING, NOT_SUPPORTED, SystemCallError.
 */
export async function createMonitored(options: MonitorOptions): Promise<MonitoredContainer> {
  const { id, bundle, mountRoot } = options
  const program = findMonitor()
  clearMonitorFiles(bundle)
  makeDirectories(`${bundle}/${files.exits}`, 0o700)
  makeDirectories(options.stateDirectory, 0o700)
  const launch = writeBundle(options)
  const { runtime } = launch
  const runtimeRoot = options.runtimeRoot(runtime.name)
  makeDirectories(runtimeRoot, 0o700)
  // What a killed `delete` may have left.
  if (tryStat(`${runtimeRoot}/${id}`) !== undefined) deleteMonitored(runtime, runtimeRoot, id)
  const runtimeArguments = [...launch.globalArguments, '--root', runtimeRoot]
  const command = [program, ...monitorArguments(options, runtime, runtimeArguments)]
  const sync = openPipe()
  const prepare = (): void => {
    mountRoot()
    checkRootFileSystem(options.spec.root.path)
  }
  const child = spawnMonitor(() =>
    launch.spawn(() => inMountNamespaceCopy(prepare, () => spawnWith(command, sync.write))),
  )
  close(sync.write)
  const report = await readReport(sync.read)
  await child.exited
  const init = report.pid === undefined ? undefined : identityOf(report.pid)
  const monitor = identityOf(Number(readTextFile(`${bundle}/${files.monitorPid}`)))
  if (init !== undefined && monitor !== undefined) return { runtime, runtimeRoot, init, monitor }
  const message =
    lastLoggedError(runtime.name, readTextFile(`${bundle}/${files.runtimeLog}`) ?? '') ??
    report.message ??
    'the monitor ended before the container was there'
  deleteMonitored(runtime, runtimeRoot, id)
  throw runtimeError(runtime.name, message, options.spec.process.args[0] ?? '')

  function spawnMonitor<Result>(start: () => Result): Result {
    try {
      return start()
    } catch (error) {
      close(sync.write)
      close(sync.read)
      throw error
    }
  }
}

/** Absolute path of conmon. Throws TOOL_MISSING. */
function findMonitor(): string {
  const path = systemProgram('conmon', { libexec: '/usr/libexec/podman' })
  if (path !== undefined) return path
  throw new CairnError('TOOL_MISSING', 'containers in the background need conmon, which is not installed', {
    hint: 'Install it: `apt-get install conmon`.',
  })
}

/** Removes what a monitor that is gone has left in the bundle; the log stays. */
export function clearMonitorFiles(bundle: string): void {
  removeTree(`${bundle}/${files.exits}`)
  const { oom, monitorPid, initPid, runtimeLog, windowSize } = files
  for (const name of [oom, monitorPid, initPid, runtimeLog, windowSize, controlFile, attachSocket])
    removeFile(`${bundle}/${name}`)
}

function monitorArguments(
  options: MonitorOptions,
  runtime: OciRuntime,
  globalArguments: readonly string[],
): readonly string[] {
  const { id, bundle, spec, log, logSize, exitCommand } = options
  const [exitProgram = '', ...exitArguments] = exitCommand
  const runtimeArguments = [...globalArguments, '--log', `${bundle}/${files.runtimeLog}`]
  if (runtime.name === 'runc') runtimeArguments.push('--log-format', 'json')
  const words = ['--api-version', '1', '--cid', id, '--cuuid', id, '--name', id]
  words.push('--runtime', runtime.path, '--bundle', bundle, '--persist-dir', bundle)
  words.push('--container-pidfile', `${bundle}/${files.initPid}`, '--conmon-pidfile', `${bundle}/${files.monitorPid}`)
  words.push('--exit-dir', `${bundle}/${files.exits}`, '--full-attach', '--no-sync-log', '--log-level', 'error')
  words.push('--log-path', log === undefined ? 'none' : `k8s-file:${log}`)
  if (log !== undefined && logSize !== undefined) words.push('--log-size-max', String(logSize))
  if (spec.process.terminal === true) words.push('--terminal')
  if (options.stdin) words.push('--stdin')
  if (options.stdin && options.keepStdin) words.push('--leave-stdin-open')
  for (const argument of runtimeArguments) words.push('--runtime-arg', argument)
  words.push('--exit-command', exitProgram)
  for (const argument of exitArguments) words.push('--exit-command-arg', argument)
  return words
}

function spawnWith(command: string[], report: number) {
  const { PATH, HOME } = process.env
  return Bun.spawn(command, {
    stdio: ['ignore', 'ignore', 'ignore', report],
    cwd: '/',
    env: {
      PATH: PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      ...(HOME === undefined ? {} : { HOME }),
      _OCI_SYNCPIPE: '3',
      ...rootlessEnvironment(),
    },
    detached: true,
  })
}

interface Report {
  readonly pid?: number
  readonly message?: string
}

/** What conmon says about the runtime's `create`: a line of JSON, with the pid or a negative number and what was wrong. */
async function readReport(end: number): Promise<Report> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of readPipe(end)) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes('\n')) break
  }
  try {
    const { data, message } = JSON.parse(text) as { readonly data?: unknown; readonly message?: unknown }
    if (typeof data === 'number' && data > 0) return { pid: data }
    return typeof message === 'string' && message !== '' ? { message: message.trim() } : {}
  } catch {
    return {}
  }
}

function identityOf(pid: number): ProcessIdentity | undefined {
  const status = Number.isInteger(pid) && pid > 0 ? processStatus(pid) : undefined
  return status === undefined ? undefined : { pid, startTime: status.startTime }
}

/** Lets the container's command begin. Throws as {@link createMonitored}. */
export async function startMonitored(
  { runtime, runtimeRoot }: MonitoredContainer,
  { id, bundle, spec }: Pick<MonitorOptions, 'id' | 'bundle' | 'spec'>,
): Promise<void> {
  const log = `${bundle}/start.log`
  const { exitCode, stderr } = await runRuntime(runtime, runtimeRoot, ['start', id], log)
  const logged = exitCode === 0 ? undefined : lastLoggedError(runtime.name, readTextFile(log) ?? '')
  removeFile(log)
  if (exitCode !== 0)
    throw runtimeError(runtime.name, logged ?? (stderr || `start ended with ${exitCode}`), spec.process.args[0] ?? '')
}

/** Calls the runtime about a container that has a monitor: `pause`, `update`, … Gives its status and what it said. */
export async function runRuntime(
  runtime: OciRuntime,
  runtimeRoot: string,
  words: readonly string[],
  log?: string,
): Promise<{ readonly exitCode: number; readonly stderr: string }> {
  const format = log === undefined ? [] : ['--log', log, ...(runtime.name === 'runc' ? ['--log-format', 'json'] : [])]
  const child = withHostCgroups(() =>
    Bun.spawn([runtime.path, '--root', runtimeRoot, ...format, ...words], {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' },
    }),
  )
  const [stderr, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited])
  return { exitCode, stderr: stderr.trim() }
}

/** True where the container's command has begun, by what the runtime says. */
export function hasBegun(runtime: OciRuntime, runtimeRoot: string, id: string): boolean {
  const command = [runtime.path, '--root', runtimeRoot, 'state', id]
  const { stdout } = withHostCgroups(() => Bun.spawnSync(command, { stderr: 'ignore', cwd: '/' }))
  return /"status": *"(?:running|paused)"/.test(stdout.toString())
}

/** Kills what is left of a container and removes the runtime's state of it and its cgroup. Waits for that. */
export function deleteMonitored(runtime: OciRuntime, runtimeRoot: string, id: string): void {
  const command = [runtime.path, '--root', runtimeRoot, 'delete', '--force', id]
  withHostCgroups(() => Bun.spawnSync(command, { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/' }))
  removeTree(`${runtimeRoot}/${id}`)
}

/** How a container ended, as its monitor wrote it down. */
export interface MonitoredEnd {
  readonly exitCode: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** What the monitor noted when the container ended; undefined before. */
export function monitoredEnd(bundle: string, id: string): MonitoredEnd | undefined {
  const path = `${bundle}/${files.exits}/${id}`
  const text = readTextFile(path)
  const status = text === undefined || text === '' ? undefined : tryStat(path)
  if (text === undefined || status === undefined) return undefined
  return { exitCode: Number(text), at: modifiedAt(status) }
}

/** True where the kernel ended a process of the container for want of memory. */
export function wasOutOfMemory(bundle: string): boolean {
  return tryStat(`${bundle}/${files.oom}`) !== undefined
}
