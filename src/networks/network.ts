/** A part of a network's addresses. Addresses are in their usual text. */
export interface NetworkPool {
  readonly subnet: string
  readonly gateway: string
  /** The gateway was asked for. */
  readonly hasOwnGateway?: boolean
  /** Containers get their addresses from this part of the subnet. */
  readonly range?: string
  /** Addresses that containers do not get, by their names. */
  readonly reserved?: Readonly<Record<string, string>>
}

/** What a network was made with. */
export interface NetworkSettings {
  readonly internal: boolean
  readonly attachable: boolean
  readonly ipv4: boolean
  readonly ipv6: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
  /** The first IPv4 one, then the first IPv6 one. */
  readonly pools: readonly NetworkPool[]
  /** The subnets were chosen by Cairn, which chooses others where the host takes to using them. */
  readonly isChosen: boolean
}

export type NetworkDriver = 'bridge' | 'host' | 'null'

export interface Network {
  /** 64 hex digits. */
  readonly id: string
  readonly name: string
  readonly driver: NetworkDriver
  readonly settings: NetworkSettings
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** How a container is attached to a network, as its user asked. */
export interface EndpointSetting {
  /** Name of the network, or its ID or the beginning of it. */
  readonly network: string
  readonly aliases: readonly string[]
  readonly ip?: string
  readonly ip6?: string
  readonly mac?: string
}

/** How a container that runs is attached to a network. */
export interface Endpoint {
  readonly container: string
  /** ID of the network. */
  readonly network: string
  /** 64 hex digits. */
  readonly id: string
  readonly address: string
  readonly address6?: string
  readonly mac: string
  /** Name of the interface in the container. */
  readonly device: string
  /** Name of the other end. */
  readonly hostDevice: string
  /** What it is found by, besides its ID. */
  readonly names: readonly string[]
  /** Who is asked for names of the world on its behalf; the host's servers where absent. */
  readonly servers?: readonly string[]
}

export type PortProtocol = 'tcp' | 'udp'

/** A port that a user wants to be published. */
export interface PortSetting {
  readonly protocol: PortProtocol
  readonly port: number
  /** Address of the host; all of them where it is empty. */
  readonly hostAddress: string
  /** First and last of the ports of the host that will do; any where it is absent. */
  readonly hostPorts?: readonly [first: number, last: number]
}

/** A port of a container that runs, and one of the host that leads to it. */
export interface PublishedPort {
  readonly container: string
  readonly protocol: PortProtocol
  readonly port: number
  /** `0.0.0.0` and `::` are all addresses of their kind. */
  readonly hostAddress: string
  readonly hostPort: number
  /** Address of the container. */
  readonly address: string
}

/** The networks that are there from the beginning. */
export const predefinedNetworks = ['bridge', 'host', 'none'] as const

/** True for a network whose containers find each other by name. */
export function hasNames({ name, driver }: Pick<Network, 'name' | 'driver'>): boolean {
  return driver === 'bridge' && name !== 'bridge'
}

/** Names the device that a network's containers are connected by. */
export const bridgeOption = 'com.docker.network.bridge.name'

/** The name of the device that a network's containers are connected by. */
export function bridgeOf({ id, settings }: Pick<Network, 'id' | 'settings'>): string {
  return settings.options[bridgeOption] ?? `cn-${id.slice(0, 12)}`
}

/** The IPv4 and the IPv6 addresses of a network. */
export function poolsOf({ pools }: Pick<NetworkSettings, 'pools'>): {
  readonly pool: NetworkPool | undefined
  readonly pool6: NetworkPool | undefined
} {
  return {
    pool: pools.find(({ subnet }) => !subnet.includes(':')),
    pool6: pools.find(({ subnet }) => subnet.includes(':')),
  }
}

/**
 * The MAC address that goes with an IPv4 address: the same for the same, as docker had it: who knows that by the MAC of its last owner still reaches it. Locally
 * administered, RFC 7042 §2.1.
 */
export function macOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
  return ['02', '42', ...bytes].join(':')
}
