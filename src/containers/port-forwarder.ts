import type { Store } from '../content/store.ts'
import { isRunning, processStatus } from '../linux/processes.ts'
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
  const answer = await firstLine(launch(store, scope, container, ports, 'pipe').stdout)
  if (answer === 'ready') return undefined
  recordForwarder(store, scope, container)
  const index = Number(answer)
  return ports[Number.isInteger(index) ? index : 0] ?? ports[0]
}

function launch<Answer extends 'pipe' | 'ignore'>(
  store: Store,
  scope: string,
  container: string,
  ports: readonly PublishedPort[],
  answer: Answer,
): Bun.Subprocess<Uint8Array, Answer, 'ignore'> {
  const namespace = isRootless() ? [`/proc/${ownNamespace().keeper.pid}/ns/net`] : []
  const child = Bun.spawn([...ownCommand(store, 'container', 'forward', container, ...namespace)], {
    stdin: new TextEncoder().encode(JSON.stringify(ports)),
    stdout: answer,
    stderr: 'ignore',
    cwd: '/',
    detached: true,
  })
  child.unref()
  const startTime = processStatus(child.pid)?.startTime
  if (startTime !== undefined) recordForwarder(store, scope, container, { pid: child.pid, startTime })
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
  for (const forwarder of listForwarders(store, scope))
    if (!isRunning(forwarder)) {
      const ports = publishedPortsOf(store, forwarder.container)
      if (ports.length > 0) launch(store, scope, forwarder.container, ports, 'ignore')
    }
}
