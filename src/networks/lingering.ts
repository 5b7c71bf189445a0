import type { Store } from '../content/store.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import { endpointsOf, networkOf, publishedPortsOf } from './endpoint-records.ts'
import { hasNames, type Network } from './network.ts'

/**
 * The default network stays for a while after the last container that was run in the foreground: the kernel takes tens of
 * milliseconds to make its bridge and rules, and again to take them away, which the next container and its user need not
 * wait for.
 */

/** How long, in milliseconds. */
export const lingerTime = 3_000

/**
 * Lets the network of a container that is just ending linger. To be called in the transaction that records the end, before
 * that. False, and nothing happens, where there is more to be taken away than that can wait: ports, and names.
 */
export function letLinger(store: Store, scope: string, container: string): boolean {
  const [endpoint, ...others] = endpointsOf(store, container)
  if (endpoint === undefined || others.length > 0 || publishedPortsOf(store, container).length > 0) return false
  const network = networkOf(store, endpoint)
  if (hasNames(network)) return false
  store.database.run(
    `INSERT INTO lingering_networks (scope, network, until) VALUES (?, ?, ?)
      ON CONFLICT DO UPDATE SET network = excluded.network, until = excluded.until`,
    scope,
    network.id,
    Date.now() + lingerTime,
  )
  return true
}

/** The network without containers that is to stay at the moment `now`, in milliseconds since 1970. */
export function lingeringNetwork(store: Store, scope: string, now: number): Network | undefined {
  const row = store.database.one<{ network: string; until: number }>(
    'SELECT network, until FROM lingering_networks WHERE scope = ?',
    scope,
  )
  return row === undefined || isOver(row.until, now) ? undefined : networkOf(store, row)
}

/** True where a network's time is over. */
export function hasLingered(store: Store, scope: string): boolean {
  const until = lingersUntil(store, scope)
  return until !== undefined && isOver(until, Date.now())
}

/** A clock that was set back ends it too. */
function isOver(until: number, now: number): boolean {
  return until <= now || until > now + lingerTime
}

/** Until when a network is to stay, in milliseconds since 1970; undefined where none is. */
export function lingersUntil(store: Store, scope: string): number | undefined {
  return store.database.one<{ until: number }>('SELECT until FROM lingering_networks WHERE scope = ?', scope)?.until
}

/** Ends the time of lingering networks at once; whoever applies networks next takes them away. */
export function endLingering(store: Store, scope: string): void {
  store.database.run('UPDATE lingering_networks SET until = 0 WHERE scope = ?', scope)
}

/** Records that those whose time was over at `now` are gone. */
export function forgetLingered(store: Store, scope: string, now: number): void {
  store.database.run(
    'DELETE FROM lingering_networks WHERE scope = ? AND (until <= ? OR until > ?)',
    scope,
    now,
    now + lingerTime,
  )
}

/** The process that takes lingering networks away when their time is over. */
export function lingererOf(store: Store, scope: string): ProcessIdentity | undefined {
  return store.database.one<{ pid: number; startTime: number }>(
    'SELECT pid, start_time AS startTime FROM lingering_networks WHERE scope = ? AND pid IS NOT NULL',
    scope,
  )
}

/** Records which process that is. */
export function recordLingerer(store: Store, scope: string, { pid, startTime }: ProcessIdentity): void {
  store.database.run('UPDATE lingering_networks SET pid = ?, start_time = ? WHERE scope = ?', pid, startTime, scope)
}
