import { isRootless } from '../rootless/namespace.ts'
import { type Lock, tryAcquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { isRunning, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { readTextFile } from '../linux/text-file.ts'
import { listEndpoints, listForwarders, listPublishedPorts, networkOf, recordForwarder } from './endpoint-records.ts'
import { changeLinks, type Link, listLinks } from './host-links.ts'
import { forgetLingered, hasLingered, lingeringNetwork } from './lingering.ts'
import { applyNames, dropNames, isNameServerMissing } from './name-server.ts'
import type { LinkChange } from './link-change.ts'
import { inNetworkHome, setSwitches } from './place.ts'
import { bridgeOf, type Endpoint, macOf, type Network, poolsOf } from './network.ts'
import { applyRules, dropRules } from './apply-rules.ts'
import { linkAlias, networkScope } from './scope.ts'

/**
 * Bridges, rules and names are made from the records, all of them and always the same way, whenever those have changed. So
 * whatever was killed in between, the next command that comes brings the kernel to what is recorded.
 *
 * Nothing but a query where all is up to date. Throws TOOL_MISSING, TOOL_FAILED, NOT_ROOT.
 */
export function applyNetworks(store: Store): void {
  if (store.isReadOnly) return
  const scope = networkScope()
  if (!isOutdated(store, scope)) return
  const lock = takeLock(store)
  try {
    const version = versionOf(store, scope)
    if (version !== undefined && isOutdated(store, scope)) inNetworkHome(() => apply(store, scope, version.wanted))
  } finally {
    lock.release()
  }
}

interface Version {
  readonly wanted: number
  readonly applied: number
}

function versionOf(store: Store, scope: string): Version | undefined {
  return store.database.one<Version & Record<string, number>>(
    'SELECT wanted, applied FROM network_scopes WHERE scope = ?',
    scope,
  )
}

/** True where containers of the store have been attached to networks since the machine was started. */
export function hasEverHadNetworks(store: Store, scope: string): boolean {
  return versionOf(store, scope) !== undefined
}

function isOutdated(store: Store, scope: string): boolean {
  const version = versionOf(store, scope)
  if (version === undefined) return false
  if (version.wanted !== version.applied || hasLingered(store, scope)) return true
  const endpoints = listEndpoints(store, scope)
  return endpoints.length > 0 && isNameServerMissing(store, scope, networksOf(store, endpoints))
}

const patience = 20_000
const pause = 2

/** Others are done within milliseconds. */
function takeLock(store: Store): Lock {
  const deadline = performance.now() + patience
  for (;;) {
    const lock = tryAcquireLock(store, 'networks')
    if (lock !== undefined) return lock
    if (performance.now() > deadline)
      throw new CairnError('STORE_BUSY', 'another cairn process is changing networks and does not come to its end')
    Bun.sleepSync(pause)
  }
}

function networksOf(store: Store, endpoints: readonly Endpoint[]): Network[] {
  return [...new Map(endpoints.map((endpoint) => [endpoint.network, endpoint])).values()].map((endpoint) =>
    networkOf(store, endpoint),
  )
}

function apply(store: Store, scope: string, version: number): void {
  const endpoints = listEndpoints(store, scope)
  const ports = listPublishedPorts(store, scope)
  const now = Date.now()
  const used = networksOf(store, endpoints)
  const lingering = lingeringNetwork(store, scope, now)
  const networks = lingering === undefined || used.some(({ id }) => id === lingering.id) ? used : [...used, lingering]
  endForwarders(store, scope, new Set(ports.map(({ container }) => container)))
  const bridges = applyLinks(store, networks, endpoints)
  applyRules(store, scope, bridges, ports)
  if (bridges.length > 0) forwardPackets(networks)
  applyNames(store, scope, networks, endpoints)
  store.database.run('UPDATE network_scopes SET applied = ? WHERE scope = ?', version, scope)
  forgetLingered(store, scope, now)
  forgetEarlierBoots(store, scope)
}

/** Takes from the kernel what a store that is gone had of networks. Throws TOOL_MISSING, TOOL_FAILED, NOT_ROOT. */
export function dropNetworks(store: Pick<Store, 'root'>): void {
  const own = listLinks().filter(({ alias }) => alias.startsWith(linkAlias(store)))
  changeLinks(
    own.map(({ name }): LinkChange => ({ kind: 'delete', device: name })),
    { lenient: true },
  )
  dropRules(store)
}

/** What there was before the machine was started went with it. */
function forgetEarlierBoots(store: Store, scope: string): void {
  const boot = scope.slice(0, scope.indexOf('/'))
  for (const table of ['network_scopes', 'network_rules', 'lingering_networks', 'port_forwarders'])
    store.database.run(`DELETE FROM ${table} WHERE substr(scope, 1, ?) <> ?`, boot.length, boot)
  const scopes = store.database.all<{ scope: string }>('SELECT scope FROM network_scopes')
  dropNames(
    store,
    scopes.map((row) => row.scope),
  )
}

function endForwarders(store: Store, scope: string, kept: ReadonlySet<string>): void {
  for (const forwarder of listForwarders(store, scope)) {
    if (kept.has(forwarder.container)) continue
    if (isRunning(forwarder)) signalProcess(forwarder, signalNumbers.SIGKILL)
    recordForwarder(store, scope, forwarder.container)
  }
}

interface Bridged {
  readonly network: Network
  readonly bridge: string
}

/** Makes bridges that are missing, removes those that are not needed and what is left of containers that ended. */
function applyLinks(store: Store, networks: readonly Network[], endpoints: readonly Endpoint[]): Bridged[] {
  const alias = linkAlias(store)
  const links = listLinks()
  const devices = new Set(endpoints.map(({ hostDevice }) => hostDevice))
  const bridged = networks.map((network) => ({ network, bridge: bridgeOf(network) }))
  for (const { network, bridge } of bridged) checkBridge(network, bridge, alias, links)
  const needed = new Set(bridged.map(({ bridge }) => bridge))
  const changes: LinkChange[] = []
  for (const link of links)
    if (link.alias.startsWith(alias) && !(link.isBridge ? needed : devices).has(link.name))
      changes.push({ kind: 'delete', device: link.name })
  // A container's device goes by itself at about this time too.
  changeLinks(changes, { lenient: true })
  changeLinks(bridged.flatMap(({ network, bridge }) => bridgeChanges(network, bridge, alias, links)))
  return bridged
}

function bridgeAlias(alias: string, { id }: Network): string {
  return `${alias}n:${id.slice(0, 12)}`
}

/** Throws NETWORK_IN_USE where the device is somebody else's. One without an alias was being made when that was killed. */
function checkBridge(network: Network, bridge: string, alias: string, links: readonly Link[]): void {
  const existing = links.find(({ name }) => name === bridge)
  if (existing === undefined || (existing.isBridge && ['', bridgeAlias(alias, network)].includes(existing.alias)))
    return
  throw new CairnError(
    'NETWORK_IN_USE',
    `network ${network.name} cannot have the bridge ${bridge}: there is such a device already`,
  )
}

function bridgeChanges(
  { settings, ...network }: Network,
  bridge: string,
  alias: string,
  links: readonly Link[],
): LinkChange[] {
  const existing = links.find(({ name }) => name === bridge)
  const addresses = settings.pools.map(({ gateway, subnet }) => `${gateway}${subnet.slice(subnet.indexOf('/'))}`)
  const { gateway = '' } = poolsOf(settings).pool ?? {}
  const mtu = settings.options['com.docker.network.driver.mtu']
  const changes: LinkChange[] = []
  if (existing === undefined) {
    changes.push({ kind: 'add-bridge', name: bridge, mac: macOf(gateway) })
    if (mtu !== undefined) changes.push({ kind: 'set', device: bridge, mtu: Number(mtu) })
  }
  if (existing === undefined || existing.alias === '')
    changes.push({ kind: 'set', device: bridge, alias: bridgeAlias(alias, { settings, ...network }), up: true })
  for (const address of existing?.addresses ?? [])
    if (!addresses.includes(address)) changes.push({ kind: 'delete-address', device: bridge, address })
  for (const address of addresses)
    if (existing?.addresses.includes(address) !== true) changes.push({ kind: 'add-address', device: bridge, address })
  return changes
}

function forwardPackets(networks: readonly Network[]): void {
  const names = ['ipv4/ip_forward']
  if (networks.some(({ settings }) => settings.ipv6)) names.push('ipv6/conf/all/forwarding')
  const isOff = (name: string): boolean => readTextFile(`/proc/sys/net/${name}`)?.trim() === '0'
  setSwitches(Object.fromEntries(names.filter((name) => isRootless() || isOff(name)).map((name) => [name, '1'])))
}
