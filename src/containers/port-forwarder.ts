import { acquireLock, tryAcquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { isRunning, processStatus, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { listForwarders, publishedPortsOf, recordForwarder } from '../networks/endpoint-records.ts'
import type { PublishedPort } from '../networks/network.ts'
import { networkScope } from '../networks/scope.ts'
import { isRootless, ownNamespace } from '../rootless/namespace.ts'
import { ownCommand } from './own-command.ts'

/**
 * Starts the process that holds a container's published ports; settles when it has them. Gives the port that it could not
 * have, and no process is left then.
 */
export async function startForwarder(
  store: Store,
  scope: string,
  container: string,
  ports: readonly PublishedPort[],
): Promise<PublishedPort | undefined> {
  using _lock = await acquireLock(store, lockName(container))
  await endForwarder(store, scope, container)
  const answer = await firstLine(launch(store, scope, container, ports, 'pipe').stdout)
  if (answer === 'ready') return undefined
  recordForwarder(store, scope, container)
  const index = Number(answer)
  return ports[Number.isInteger(index) ? index : 0] ?? ports[0]
}

/** Ends the process that holds a container's published ports and calls `work`, before anybody starts it again. */
export async function withoutForwarder<Result>(
  store: Store,
  scope: string,
  container: string,
  work: () => Result,
): Promise<Result> {
  using _lock = await acquireLock(store, lockName(container))
  await endForwarder(store, scope, container)
  return work()
}

/** Whoever holds it starts the container's forwarder: two would be at the same ports, and one of them be forgotten. */
function lockName(container: string): string {
  return `forwarder ${container}`
}

const patience = 2_000
const pause = 2

/** Ends what a start that was killed has left, which holds the same ports. */
async function endForwarder(store: Store, scope: string, container: string): Promise<void> {
  const left = listForwarders(store, scope).find((forwarder) => forwarder.container === container)
  if (left === undefined || !isRunning(left)) return
  signalProcess(left, signalNumbers.SIGKILL)
  const deadline = performance.now() + patience
  while (isRunning(left) && performance.now() < deadline) await Bun.sleep(pause)
}

/** It takes no port before it is told which, and that comes after it was recorded: so none is left that nobody knows. */
function launch<Answer extends 'pipe' | 'ignore'>(
  store: Store,
  scope: string,
  container: string,
  ports: readonly PublishedPort[],
  answer: Answer,
): Bun.Subprocess<'pipe', Answer, 'ignore'> {
  const namespace = isRootless() ? [`/proc/${ownNamespace().keeper.pid}/ns/net`] : []
  const child = Bun.spawn([...ownCommand(store, 'container', 'forward', container, ...namespace)], {
    stdin: 'pipe',
    stdout: answer,
    stderr: 'ignore',
    cwd: '/',
    detached: true,
  })
  child.unref()
  const startTime = processStatus(child.pid)?.startTime
  if (startTime !== undefined) recordForwarder(store, scope, container, { pid: child.pid, startTime })
  void child.stdin.write(JSON.stringify(ports))
  void child.stdin.end()
  return child
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes('\n')) break
  }
  return text.split('\n')[0] ?? ''
}

/** Starts again the processes of containers that run which were killed. What they cannot have any more is left. */
export function reviveForwarders(store: Store): void {
  const scope = networkScope()
  for (const { container } of listForwarders(store, scope).filter((forwarder) => !isRunning(forwarder))) {
    const lock = tryAcquireLock(store, lockName(container))
    // Somebody is at it.
    if (lock === undefined) continue
    try {
      const current = listForwarders(store, scope).find((forwarder) => forwarder.container === container)
      const ports = current === undefined || isRunning(current) ? [] : publishedPortsOf(store, container)
      if (ports.length > 0) launch(store, scope, container, ports, 'ignore')
    } finally {
      lock.release()
    }
  }
}
