import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'
import { isRootless } from '../rootless/namespace.ts'
import { insertPublishedPort, listPublishedPorts } from './endpoint-records.ts'
import { listLinks } from './host-links.ts'
import type { PortProtocol, PortSetting, PublishedPort } from './network.ts'
import { heldPorts, holderOfPort } from './port-holders.ts'

/**
 * Records ports of the host for a container, at all addresses of IPv4 and IPv6 where none is given. To be called in a
 * transaction. Throws PORT_IN_USE in docker's words.
 *
 * @param address - the container's IPv4 address
 * @param avoided - ports that turned out to be taken, where another one will do
 */
export function recordPorts(
  store: Store,
  scope: string,
  container: string,
  address: string,
  settings: readonly PortSetting[],
  avoided: ReadonlySet<number> = new Set(),
): PublishedPort[] {
  const all = hasIpv6() ? ['0.0.0.0', '::'] : ['0.0.0.0']
  return settings.flatMap(({ protocol, port, hostAddress, hostPorts }) => {
    const addresses = hostAddress === '' ? all : [hostAddress]
    checkOpenable(hostPorts)
    const hostPort = choosePort(store, scope, protocol, addresses, hostPorts, avoided)
    return addresses.map((one) => {
      const published = { container, protocol, port, hostAddress: one, hostPort, address }
      insertPublishedPort(store, scope, published)
      return published
    })
  })
}

/** Ports below this are for root alone. */
const defaultFirstPort = 1024

/** Throws PERMISSION_DENIED for a port that only root may listen at. */
function checkOpenable(ports: readonly [first: number, last: number] | undefined): void {
  if (ports === undefined || !isRootless()) return
  const text = readTextFile('/proc/sys/net/ipv4/ip_unprivileged_port_start')?.trim()
  const first = text === undefined ? defaultFirstPort : Number(text)
  if (ports[0] >= first) return
  throw new CairnError(
    'PERMISSION_DENIED',
    `cannot publish port ${ports[0]} without root: ports below ${first} are for root`,
    {
      hint: `Choose a port from ${first} on, or let the administrator set sysctl net.ipv4.ip_unprivileged_port_start=${ports[0]}.`,
    },
  )
}

/** True where this network namespace has IPv6 addresses. */
function hasIpv6(): boolean {
  return (readTextFile('/proc/thread-self/net/if_inet6') ?? '') !== ''
}

const defaultEphemeral: readonly [number, number] = [32_768, 60_999]

function choosePort(
  store: Store,
  scope: string,
  protocol: PortProtocol,
  addresses: readonly string[],
  wanted: readonly [first: number, last: number] | undefined,
  avoided: ReadonlySet<number>,
): number {
  const others = listPublishedPorts(store, scope).filter((other) => other.protocol === protocol)
  const clashing = (port: number): PublishedPort | undefined =>
    others.find((other) => other.hostPort === port && addresses.some((one) => covers(one, other.hostAddress)))
  const [first, last] = wanted ?? ephemeralPorts()
  if (wanted !== undefined && first === last) {
    const clash = clashing(first)
    if (clash === undefined) return first
    throw allocated(store, addresses[0] ?? '', first, clash)
  }
  const held = new Set(heldPorts(protocol).map(({ port }) => port))
  for (let port = first; port <= last; port++)
    if (!held.has(port) && !avoided.has(port) && clashing(port) === undefined) return port
  throw new CairnError(
    'PORT_IN_USE',
    wanted === undefined
      ? 'no port of the host is free'
      : `Bind for ${shown(addresses[0] ?? '')}:${first} failed: port is already allocated`,
    { hint: `All ports from ${first} to ${last} are taken.` },
  )
}

/** True where a socket at one address keeps others from the other one. */
function covers(a: string, b: string): boolean {
  if (a.includes(':') !== b.includes(':')) return false
  return a === b || a === '0.0.0.0' || b === '0.0.0.0' || a === '::' || b === '::'
}

function ephemeralPorts(): readonly [number, number] {
  const [first, last] = (readTextFile('/proc/sys/net/ipv4/ip_local_port_range') ?? '').trim().split(/\s+/).map(Number)
  return first === undefined || last === undefined || !(last > first) ? defaultEphemeral : [first, last]
}

function allocated(store: Store, address: string, port: number, { container }: PublishedPort): CairnError {
  const row = store.database.one<{ name: string }>('SELECT name FROM containers WHERE id = ?', container)
  return new CairnError('PORT_IN_USE', `Bind for ${shown(address)}:${port} failed: port is already allocated`, {
    hint: `The container ${row?.name ?? container} has it.`,
  })
}

/** The error for a port that a program of the host has, or of an address that the host does not have. */
export function portTaken({ protocol, hostAddress, hostPort }: PublishedPort): CairnError {
  const message = `failed to bind host port for ${shown(hostAddress)}:${hostPort}/${protocol}`
  if (!isAddressOfHost(hostAddress)) return new CairnError('PORT_IN_USE', `${message}: cannot assign requested address`)
  const holder = holderOfPort(protocol, hostPort)
  return new CairnError(
    'PORT_IN_USE',
    `${message}: address already in use`,
    holder === undefined ? {} : { hint: `${holder} listens there.` },
  )
}

function isAddressOfHost(address: string): boolean {
  const isAlways = address === '0.0.0.0' || address === '::' || address.startsWith('127.')
  return isAlways || listLinks().some(({ addresses }) => addresses.some((one) => one.split('/')[0] === address))
}

/** True where another port would do as well. */
export function isReplaceable(settings: readonly PortSetting[], { protocol, port }: PublishedPort): boolean {
  return settings.some(
    (setting) =>
      setting.protocol === protocol &&
      setting.port === port &&
      (setting.hostPorts === undefined || setting.hostPorts[0] !== setting.hostPorts[1]),
  )
}

function shown(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
