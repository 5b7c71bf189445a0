import { CairnError } from '../errors/error.ts'
import { enterPrivateMounts } from '../linux/mount-namespace.ts'
import { bindMount, unmount } from '../linux/mounts.ts'
import { removeFile } from '../linux/names.ts'
import { isRunning, type ProcessIdentity, processStatus } from '../linux/processes.ts'
import { systemProgram } from '../linux/system-program.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { namespaceDirectory, writeNamespaceRecord } from './namespace-record.ts'
import { changeNamespace, ownNamespace } from './namespace.ts'

/**
 * Connects the network namespace with the network of the machine, where that is not done: pasta carries its connections on as
 * those of an ordinary program. Throws TOOL_MISSING, TOOL_FAILED. https://passt.top
 */
export function connectNamespaceNetwork(): void {
  if (isConnected()) return
  const pasta = systemProgram('pasta')
  if (pasta === undefined)
    throw new CairnError('TOOL_MISSING', 'networks of containers need pasta without root, which is not installed', {
      hint: "Install it: `apt-get install passt`. Or use the host's network or none: --network host, --network none.",
    })
  changeNamespace(() => {
    const { root, ...record } = ownNamespace()
    if (!isConnected())
      writeNamespaceRecord(root, { ...record, connection: startPasta(pasta, root, record.keeper.pid) })
  })
}

function isConnected(): boolean {
  const { connection } = ownNamespace()
  return connection !== undefined && isRunning(connection)
}

/** The gateway of the machine stands for nothing in the namespace: containers must not reach what listens on 127.0.0.1. */
const words = ['--config-net', '--no-map-gw', '-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--netns-only']

/**
 * It goes on in the background when all is set up. The namespace is shown to it as a file in mounts that only this process and
 * it see, since it has given up what it would need to open one of a process.
 */
function startPasta(program: string, root: string, keeper: number): ProcessIdentity {
  const directory = namespaceDirectory(root)
  const [pidFile, network] = [`${directory}/pasta.pid`, `${directory}/net`]
  removeFile(pidFile)
  writeTextFile(network, '')
  enterPrivateMounts()
  bindMount(`/proc/${keeper}/ns/net`, network)
  const command = [program, '--quiet', ...words, '--pid', pidFile, '--no-netns-quit', '--netns', network]
  const { exitCode, stderr } = Bun.spawnSync(command, {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  })
  unmount(network, { lazy: true })
  const pid = Number(readTextFile(pidFile) ?? '')
  const startTime = pid > 0 ? processStatus(pid)?.startTime : undefined
  if (exitCode === 0 && startTime !== undefined) return { pid, startTime }
  throw new CairnError('TOOL_FAILED', `pasta: ${lastLine(stderr.toString()) || `ended with ${exitCode}`}`, {
    hint: 'It needs /dev/net/tun and a network to connect to. Without it: --network host or --network none.',
  })
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
