import { close, open, openFlags } from '../linux/files.ts'
import { inNetworkNamespace, makeNetworkNamespace, networkNamespace } from '../linux/network-namespace.ts'
import { namespaceOf } from '../linux/namespaces.ts'
import { tryStat } from '../linux/file-status.ts'
import { writeTextFile } from '../linux/text-file.ts'
import { requireProgram } from '../rootless/make-namespace.ts'
import { isRootless, ownNamespace } from '../rootless/namespace.ts'

/**
 * Where bridges and rules of containers are: the network namespace of this process, and without root the one that belongs to the
 * user namespace of the store. A thread without root could not come back from there to the machine's, so it is only the programs
 * called that go there; with root this thread goes itself.
 */

interface Place {
  /** File of the network namespace that programs are started in. */
  readonly namespace: string
  /** Where /proc tells of it. */
  readonly files: string
}

let place: Place | undefined

function at<Result>(next: Place, work: () => Result): Result {
  const before = place
  place = next
  try {
    return work()
  } finally {
    place = before
  }
}

/** Calls `work`, which must be synchronous, for where the bridges are. */
export function inNetworkHome<Result>(work: () => Result): Result {
  if (!isRootless()) return work()
  const { pid } = ownNamespace().keeper
  return at({ namespace: `/proc/${pid}/ns/net`, files: `/proc/${pid}/net` }, work)
}

/** Calls `work`, which must be synchronous, for a container's network namespace. */
export function inContainerNetwork<Result>(namespace: number, work: () => Result): Result {
  if (!isRootless()) return inNetworkNamespace(namespace, work)
  return at({ namespace: `/proc/${process.pid}/fd/${namespace}`, files: '/proc/thread-self/net' }, work)
}

/** Identity of the network namespace that the bridges are in. */
export function networkHome(): string {
  return isRootless() ? (namespaceOf(ownNamespace().keeper.pid, 'net') ?? '') : networkNamespace()
}

/** The command that does `command` in the network namespace that is worked for. */
export function networkCommand(command: readonly string[]): string[] {
  if (place === undefined) return [...command]
  return [requireProgram('nsenter', 'util-linux'), `--net=${place.namespace}`, '--', ...command]
}

/** True where it is not this thread that works there, but the programs it calls. */
export function isElsewhere(): boolean {
  return place !== undefined
}

/** The directory like /proc/net of the network namespace that is worked for. */
export function networkFiles(): string {
  return place?.files ?? '/proc/thread-self/net'
}

/** Sets what the kernel has below /proc/sys/net of the network namespace that is worked for, where it has it. */
export function setSwitches(switches: Readonly<Record<string, string>>): void {
  const settings = Object.entries(switches).map(([name, value]) => [`/proc/sys/net/${name}`, value] as const)
  if (place === undefined) {
    for (const [path, value] of settings) if (tryStat(path) !== undefined) writeTextFile(path, value)
    return
  }
  const script = 'while [ $# -gt 0 ]; do [ ! -e "$1" ] || echo "$2" >"$1"; shift 2; done'
  Bun.spawnSync(networkCommand(['/bin/sh', '-c', script, 'sh', ...settings.flat()]), {
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd: '/',
  })
}

const pause = 1
const patience = 5_000

/** Makes a network namespace; gives a descriptor of it. Throws SystemCallError, TOOL_MISSING. */
export function makeContainerNetwork(): number {
  if (!isRootless()) return makeNetworkNamespace()
  const own = namespaceOf('self', 'net')
  const command = [requireProgram('unshare', 'util-linux'), '--net', requireProgram('sleep', 'coreutils'), '60']
  const holder = Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/' })
  try {
    const deadline = performance.now() + patience
    while (namespaceOf(holder.pid, 'net') === own && performance.now() < deadline) Bun.sleepSync(pause)
    const namespace = open(`/proc/${holder.pid}/ns/net`, openFlags.O_RDONLY)
    if (namespaceOf(holder.pid, 'net') !== own) return namespace
    close(namespace)
    throw new Error('a network namespace did not come to be within five seconds')
  } finally {
    holder.kill('SIGKILL')
  }
}
