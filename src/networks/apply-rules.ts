import type { Store } from '../content/store.ts'
import { digestOf } from '../oci/digest.ts'
import { allowForwarding, type FirewallTool, loadRules } from './host-links.ts'
import type { PublishedPort } from './network.ts'
import { type BridgedNetwork, removal, ruleset } from './rules.ts'
import { tableOf } from './scope.ts'

/** How long rules are taken to be in the kernel still, in milliseconds: others may flush them, or start a firewall. */
const trust = 10_000

interface LoadedRules {
  readonly digest: string
  /** Names of the tools of firewalls that have rules too. */
  readonly firewalls: string
  readonly loadedAt: number
}

/**
 * Gives the kernel the rules for these networks, or takes them away where there are none. What it is known to have by the
 * records it is not given again: each of it makes the kernel wait for all that passes packets.
 *
 * Throws TOOL_MISSING, TOOL_FAILED.
 */
export function applyRules(
  store: Store,
  scope: string,
  networks: readonly BridgedNetwork[],
  ports: readonly PublishedPort[],
): void {
  const table = tableOf(store)
  const bridges = networks.map(({ bridge }) => bridge)
  const text = networks.length === 0 ? '' : ruleset(table, networks, ports)
  const digest = text === '' ? '' : digestOf(text)
  const loaded = store.database.one<LoadedRules & Record<string, string | number>>(
    'SELECT digest, firewalls, loaded_at AS loadedAt FROM network_rules WHERE scope = ?',
    scope,
  )
  const age = Date.now() - (loaded?.loadedAt ?? 0)
  if (loaded?.digest === digest && (digest === '' || (age >= 0 && age < trust))) return
  // Whoever comes after this was killed has to replace whatever is there.
  store.database.run('DELETE FROM network_rules WHERE scope = ?', scope)
  loadRules(loaded?.digest === '' ? text : `${removal(table)}${text}`)
  const wanted: readonly FirewallTool[] =
    bridges.length === 0 ? [] : networks.some(({ network }) => network.settings.ipv6) ? tools : ['iptables']
  const firewalls = tools.filter(
    (tool) =>
      (wanted.includes(tool) || loaded === undefined || loaded.firewalls.includes(tool)) &&
      allowForwarding(tool, table, bridges),
  )
  store.database.run(
    'INSERT INTO network_rules (scope, digest, firewalls, loaded_at) VALUES (?, ?, ?, ?)',
    scope,
    digest,
    firewalls.join(' '),
    Date.now(),
  )
}

const tools = ['iptables', 'ip6tables'] as const

/** Takes away the rules of a store that is gone. Throws TOOL_MISSING, TOOL_FAILED. */
export function dropRules(store: Pick<Store, 'root'>): void {
  loadRules(removal(tableOf(store)))
  for (const tool of tools) allowForwarding(tool, tableOf(store), [])
}
