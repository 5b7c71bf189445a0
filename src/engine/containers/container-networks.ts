import type { Container, LinkSetting } from '../../containers/container.ts'
import type { Store } from '../../content/store.ts'
import { endpointsOf, publishedPortsOf } from '../../networks/endpoint-records.ts'
import {
  type Endpoint,
  type EndpointSetting,
  type Network,
  poolsOf,
  type PortSetting,
  type PublishedPort,
} from '../../networks/network.ts'
import { findNetwork, getNetwork } from '../../networks/network-records.ts'
import { goStruct, nilList } from '../go-values.ts'

/** A container's network by docker's name: that of the first it is attached to. */
export function networkMode({ settings }: Pick<Container, 'settings'>): string {
  const { network, networks = [] } = settings
  if (network === 'bridge') return networks[0]?.network ?? 'bridge'
  return network === 'default' ? 'host' : network
}

/** Names of the networks that a container is attached to, sorted. */
export function networkNames(container: Pick<Container, 'settings'>): string[] {
  const { network, networks = [] } = container.settings
  if (network.startsWith('container:')) return []
  return network === 'bridge' ? networks.map((one) => one.network).toSorted() : [networkMode(container)]
}

/** What `-p` asks for, as HostConfig.PortBindings. */
export function portBindings({ settings }: Pick<Container, 'settings'>): Readonly<Record<string, unknown>> {
  const groups = Map.groupBy(settings.ports ?? [], ({ port, protocol }) => `${port}/${protocol}`)
  return Object.fromEntries(
    sortedByName(groups).map(([name, ports]) => [
      name,
      ports.map(({ hostAddress, hostPorts }) => goStruct({ HostIp: hostAddress, HostPort: rangeText(hostPorts) })),
    ]),
  )
}

/** As Go writes maps. */
function sortedByName<Value>(map: ReadonlyMap<string, Value>): (readonly [string, Value])[] {
  return [...map].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function rangeText(ports: PortSetting['hostPorts']): string {
  if (ports === undefined) return ''
  return ports[0] === ports[1] ? String(ports[0]) : `${ports[0]}-${ports[1]}`
}

/** A port of a container: where it is published, if anywhere. */
export interface ContainerPort {
  readonly port: number
  readonly protocol: string
  readonly published: readonly PublishedPort[]
}

/** The ports of a container that runs: those that are exposed and those that are published, by number. */
export function containerPorts(store: Store, { id, state, settings }: Container): ContainerPort[] {
  if (state !== 'running' && state !== 'paused') return []
  const published = Map.groupBy(publishedPortsOf(store, id), ({ port, protocol }) => `${port}/${protocol}`)
  // On the host's network, or none of its own, docker tells of no exposed ports either.
  const exposed = settings.network === 'bridge' ? Object.keys(settings.config.ExposedPorts ?? {}) : []
  const names = new Set([...exposed.map((name) => (name.includes('/') ? name : `${name}/tcp`)), ...published.keys()])
  return [...names]
    .map((name) => {
      const [port = '', protocol = 'tcp'] = name.split('/')
      return { port: Number(port), protocol, published: published.get(name) ?? [] }
    })
    .toSorted((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1))
}

const noEndpoint = {
  EndpointID: '',
  Gateway: '',
  GlobalIPv6Address: '',
  GlobalIPv6PrefixLen: 0,
  IPAddress: '',
  IPPrefixLen: 0,
  IPv6Gateway: '',
}

/** What `inspect` tells as NetworkSettings. */
export function networkSettings(store: Store, container: Container): Readonly<Record<string, unknown>> {
  const { id, settings } = container
  const endpoints = endpointsOf(store, id).flatMap((endpoint) => {
    const network = getNetwork(store, endpoint.network)
    return network === undefined ? [] : [{ endpoint, network }]
  })
  const legacy = endpoints.find(({ network }) => network.name === 'bridge')
  const ports = containerPorts(store, container).map(({ port, protocol, published }) => [
    `${port}/${protocol}`,
    published.length === 0
      ? nilList
      : published.map(({ hostAddress, hostPort }) => goStruct({ HostIp: hostAddress, HostPort: String(hostPort) })),
  ])
  const wanted: readonly EndpointSetting[] =
    settings.network === 'bridge'
      ? (settings.networks ?? [])
      : networkNames(container).map((network) => ({ network, aliases: [] }))
  return {
    Bridge: '',
    SandboxID: '',
    SandboxKey: '',
    Ports: Object.fromEntries(ports) as unknown,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    ...(legacy === undefined ? noEndpoint : addressesOf(legacy.endpoint, legacy.network)),
    MacAddress: legacy?.endpoint.mac ?? '',
    Networks: Object.fromEntries(
      wanted.map((setting) => {
        const network = findNetwork(store, setting.network)
        const found = endpoints.find(({ endpoint }) => endpoint.network === network?.id)
        const links = setting.network === 'bridge' ? [] : (settings.links ?? [])
        return [setting.network, networkEntry(setting, network, found?.endpoint, links)]
      }),
    ),
  }
}

function networkEntry(
  setting: EndpointSetting,
  network: Network | undefined,
  endpoint: Endpoint | undefined,
  links: readonly LinkSetting[],
): object {
  const { aliases, ip, ip6 } = setting
  const given = { ...(ip === undefined ? {} : { IPv4Address: ip }), ...(ip6 === undefined ? {} : { IPv6Address: ip6 }) }
  return {
    IPAMConfig: Object.keys(given).length === 0 ? null : given,
    Links: links.length === 0 ? nilList : links.map(({ name, alias }) => `${name}:${alias}`),
    Aliases: aliases.length === 0 ? null : aliases,
    MacAddress: endpoint?.mac ?? '',
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: endpoint === undefined ? '' : (network?.id ?? ''),
    ...(endpoint === undefined || network === undefined ? noEndpoint : addressesOf(endpoint, network)),
    DNSNames: endpoint === undefined || endpoint.names.length === 0 ? null : endpoint.names,
  }
}

function addressesOf({ id, address, address6 }: Endpoint, { settings }: Network): object {
  const { pool, pool6 } = poolsOf(settings)
  const length = (subnet: string | undefined): number => Number(subnet?.split('/')[1] ?? 0)
  return {
    EndpointID: id,
    Gateway: pool?.gateway ?? '',
    IPAddress: address,
    IPPrefixLen: length(pool?.subnet),
    IPv6Gateway: pool6?.gateway ?? '',
    GlobalIPv6Address: address6 ?? '',
    GlobalIPv6PrefixLen: address6 === undefined ? 0 : length(pool6?.subnet),
  }
}
