import { recordEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import {
  bridgeOption,
  type Endpoint,
  type EndpointSetting,
  hasNames,
  macOf,
  type Network,
  poolsOf,
  type PublishedPort,
} from './network.ts'
import { getNetwork, newNetworkId, recordNetworkSettings, resolveNetwork } from './network-records.ts'
import { type Link, listLinks, usedSubnets } from './host-links.ts'
import { overlaps, parseAddress } from './addresses.ts'
import { linkAlias } from './scope.ts'
import { chooseAddress, chooseSubnet, readSubnet, subnetsOfNetworks } from './subnets.ts'

/** The attachments of containers that run, of all or of some scope. */
export function listEndpoints(store: Store, scope?: string): Endpoint[] {
  const rows =
    scope === undefined
      ? store.database.all<{ data: string }>('SELECT data FROM endpoints')
      : store.database.all<{ data: string }>('SELECT data FROM endpoints WHERE scope = ?', scope)
  return rows.map(({ data }) => JSON.parse(data) as Endpoint)
}

/** The attachments of a container that runs, in the order of its interfaces. */
export function endpointsOf(store: Store, container: string): Endpoint[] {
  return store.database
    .all<{ data: string }>('SELECT data FROM endpoints WHERE container = ?', container)
    .map(({ data }) => JSON.parse(data) as Endpoint)
    .toSorted((a, b) => (a.device < b.device ? -1 : 1))
}

/** The attachments to a network. */
export function endpointsIn(store: Store, network: string): Endpoint[] {
  return store.database
    .all<{ data: string }>('SELECT data FROM endpoints WHERE network = ?', network)
    .map(({ data }) => JSON.parse(data) as Endpoint)
}

/** The published ports of containers that run. */
export function listPublishedPorts(store: Store, scope: string): PublishedPort[] {
  return store.database
    .all<{ data: string }>('SELECT data FROM published_ports WHERE scope = ?', scope)
    .map(({ data }) => JSON.parse(data) as PublishedPort)
}

/** The published ports of a container that runs. */
export function publishedPortsOf(store: Store, container: string): PublishedPort[] {
  return store.database
    .all<{ data: string }>(
      'SELECT data FROM published_ports WHERE container = ? ORDER BY protocol, host_port, host_address',
      container,
    )
    .map(({ data }) => JSON.parse(data) as PublishedPort)
}

/** Whom endpoints are for. */
export interface AttachedContainer {
  readonly id: string
  readonly name: string
  readonly settings: { readonly dns: { readonly servers?: readonly string[] } }
}

/**
 * Attaches a container to a network: gives it addresses that nobody else has. To be called in a transaction. Throws
 * NETWORK_UNKNOWN, NETWORK_IN_USE, CONFIG_INVALID, NOT_SUPPORTED.
 *
 * @param index - number of the interface
 */
export function recordEndpoint(
  store: Store,
  scope: string,
  container: AttachedContainer,
  setting: EndpointSetting,
  index: number,
): Endpoint {
  const network = withSubnet(store, resolveNetwork(store, setting.network))
  const { id, name, settings } = network
  const taken = new Set(
    endpointsIn(store, id).flatMap(({ address, address6 }) => [address, ...(address6 === undefined ? [] : [address6])]),
  )
  const { pool, pool6 } = poolsOf(settings)
  if (pool === undefined) throw new CairnError('NOT_SUPPORTED', `network ${name} has no IPv4 subnet`)
  if (setting.ip6 !== undefined && pool6 === undefined)
    throw new CairnError(
      'CONFIG_INVALID',
      `invalid endpoint settings:\nno configured subnet contains IP address ${setting.ip6}`,
    )
  const own = hasNames(network)
  const address = chooseAddress(pool, taken, network, setting.ip)
  const servers = (container.settings.dns.servers ?? []).filter((server) => parseAddress(server) !== undefined)
  const endpoint: Endpoint = {
    container: container.id,
    network: id,
    id: newNetworkId(),
    address,
    ...(pool6 === undefined ? {} : { address6: chooseAddress(pool6, taken, network, setting.ip6) }),
    mac: setting.mac ?? macOf(address),
    device: `eth${index}`,
    hostDevice: `cv${newNetworkId().slice(0, 11)}`,
    ...(servers.length === 0 ? {} : { servers }),
    names: own ? [...new Set([container.name, ...setting.aliases, container.id.slice(0, 12)])] : [],
  }
  const changed = store.database.run(
    'INSERT OR IGNORE INTO endpoints (container, network, scope, data) VALUES (?, ?, ?, ?)',
    container.id,
    id,
    scope,
    JSON.stringify(endpoint),
  )
  if (changed === 0)
    throw new CairnError('NETWORK_IN_USE', `endpoint with name ${container.name} already exists in network ${name}`)
  recordEvent(store, 'network', 'connect', id, { container: container.id, name, type: network.driver })
  return endpoint
}

/** Takes a container from a network. To be called in a transaction. */
export function deleteEndpoint(store: Store, container: string, { id, name, driver }: Network): void {
  if (store.database.run('DELETE FROM endpoints WHERE container = ? AND network = ?', container, id) > 0)
    recordEvent(store, 'network', 'disconnect', id, { container, name, type: driver })
}

/** Takes a container from all networks and gives back its ports, where it did not come to run. */
export function releaseNetworks(store: Store, container: string): void {
  store.database.transaction(() => {
    store.database.run('DELETE FROM endpoints WHERE container = ?', container)
    releasePorts(store, container)
  })
}

/** Gives back the published ports of a container. */
export function releasePorts(store: Store, container: string): void {
  store.database.run('DELETE FROM published_ports WHERE container = ?', container)
}

/**
 * A network that nobody is attached to, whose chosen subnet the host has taken to using by now, gets another one; the
 * network `bridge` also gets a name for its bridge that no other device has.
 */
function withSubnet(store: Store, network: Network): Network {
  const { id, name, settings } = network
  if (!settings.isChosen || endpointsIn(store, id).length > 0) return network
  const links = listLinks()
  const used = usedSubnets(links, linkAlias(store))
  const { pool: current, pool6 } = poolsOf(settings)
  const isClear = current !== undefined && !used.some((subnet) => overlaps(subnet, readSubnet(current.subnet)))
  const pool = isClear ? current : chooseSubnet([...used, ...subnetsOfNetworks(store, id)])
  const changed = {
    ...settings,
    pools: [pool, ...(pool6 === undefined ? [] : [pool6])],
    options: name === 'bridge' ? { ...settings.options, [bridgeOption]: freeBridge(store, links) } : settings.options,
  }
  if (!isClear || changed.options[bridgeOption] !== settings.options[bridgeOption])
    recordNetworkSettings(store, id, changed)
  return { ...network, settings: changed }
}

function freeBridge(store: Store, links: readonly Link[]): string {
  const others = new Set(links.filter(({ alias }) => !alias.startsWith(linkAlias(store))).map(({ name }) => name))
  let number = 0
  while (others.has(`cairn${number}`)) number++
  return `cairn${number}`
}

/** Records ports of the host that lead to a container. To be called in a transaction. */
export function insertPublishedPort(store: Store, scope: string, port: PublishedPort): void {
  store.database.run(
    'INSERT INTO published_ports (container, scope, protocol, host_address, host_port, data) VALUES (?, ?, ?, ?, ?, ?)',
    port.container,
    scope,
    port.protocol,
    port.hostAddress,
    port.hostPort,
    JSON.stringify(port),
  )
}

/** A process that takes connections for a container. */
export interface ForwarderRecord extends ProcessIdentity {
  readonly container: string
}

/** The processes that take connections for containers. */
export function listForwarders(store: Store, scope: string): ForwarderRecord[] {
  return store.database.all<ForwarderRecord>(
    'SELECT container, pid, start_time AS startTime FROM port_forwarders WHERE scope = ?',
    scope,
  )
}

/** Records the process that takes connections for a container, or that there is none. */
export function recordForwarder(store: Store, scope: string, container: string, process?: ProcessIdentity): void {
  if (process === undefined) store.database.run('DELETE FROM port_forwarders WHERE container = ?', container)
  else
    store.database.run(
      'INSERT OR REPLACE INTO port_forwarders (container, scope, pid, start_time) VALUES (?, ?, ?, ?)',
      container,
      scope,
      process.pid,
      process.startTime,
    )
}

/** A network is there as long as something is attached to it. */
export function networkOf(store: Store, { network }: Pick<Endpoint, 'network'>): Network {
  const found = getNetwork(store, network)
  if (found === undefined) throw new CairnError('NETWORK_UNKNOWN', `network ${network} not found`)
  return found
}
