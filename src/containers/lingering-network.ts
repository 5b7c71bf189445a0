import type { Store } from '../content/store.ts'
import { tryStat } from '../linux/file-status.ts'
import { isRunning, processStatus } from '../linux/processes.ts'
import { applyNetworks, dropNetworks, hasEverHadNetworks } from '../networks/apply.ts'
import { endLingering, letLinger, lingererOf, lingersUntil, lingerTime, recordLingerer } from '../networks/lingering.ts'
import { networkScope } from '../networks/scope.ts'
import { isRootless } from '../rootless/namespace.ts'
import { ownCommand } from './own-command.ts'

/**
 * Lets the network of a container that is just ending stay for the next one. To be called in the transaction that records the
 * end, before that. True where it does; {@link watchLingering} is to follow then.
 */
export function leaveNetworkLingering(store: Store, container: string): boolean {
  return !isRootless() && letLinger(store, networkScope(), container)
}

/**
 * Sees to it that somebody takes the network away when its time is over: a shell that sleeps until then, for a Cairn that
 * waited would hold its memory, and starting it now would take the processor from the next command.
 */
export function watchLingering(store: Store): void {
  const scope = networkScope()
  const watcher = lingererOf(store, scope)
  if (watcher !== undefined && isRunning(watcher)) return
  const seconds = String(lingerTime / 1000)
  const child = Bun.spawn(
    ['/bin/sh', '-c', 'sleep "$0"; exec "$@"', seconds, ...ownCommand(store, 'network', 'tidy')],
    { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/', detached: true },
  )
  child.unref()
  const startTime = processStatus(child.pid)?.startTime
  if (startTime !== undefined) recordLingerer(store, scope, { pid: child.pid, startTime })
}

/** Lets networks linger no longer: for those who remove things. Whoever tidies networks next takes them away. */
export function stopLingering(store: Store): void {
  const scope = networkScope()
  if (lingersUntil(store, scope) !== undefined) endLingering(store, scope)
}

/**
 * Takes networks away once their time is over, however often that is put off; also those of a store that is gone by then, or
 * was made anew. Throws as applyNetworks().
 *
 * @param open - opens the store, which is at `root`
 */
export async function tidyLingering(root: string, open: () => Promise<Store>): Promise<void> {
  const store = tryStat(root) === undefined ? undefined : await open()
  const scope = networkScope()
  if (store === undefined || !hasEverHadNetworks(store, scope)) {
    dropNetworks({ root })
    return
  }
  for (;;) {
    const until = lingersUntil(store, scope)
    if (until === undefined) return
    const now = Date.now()
    if (until > now) await Bun.sleep(Math.min(until - now, lingerTime))
    applyNetworks(store)
  }
}
