/** One change of the devices, addresses and routes of a network namespace. */
export type LinkChange =
  /** A bridge with an address of its own: else it takes on one of its ports, another one when that goes. */
  | { readonly kind: 'add-bridge'; readonly name: string; readonly mac: string }
  | { readonly kind: 'add-veth'; readonly name: string; readonly mtu: number | undefined; readonly peer: VethPeer }
  | ({ readonly kind: 'set'; readonly device: string } & LinkSettings)
  | { readonly kind: 'delete'; readonly device: string }
  /** `address` with the length of its prefix. Those of IPv6 are not looked for in the network first. */
  | { readonly kind: 'add-address' | 'delete-address'; readonly device: string; readonly address: string }
  /** The default route of IPv4 or IPv6, by what `gateway` is, in place of another one. */
  | { readonly kind: 'set-default-route'; readonly gateway: string; readonly device: string }

/** The device of a pair that goes into another network namespace. */
export interface VethPeer {
  readonly name: string
  readonly mac: string
  /** Descriptor of the namespace, in this process. */
  readonly namespace: number
}

export interface LinkSettings {
  readonly up?: true
  readonly alias?: string
  readonly mtu?: number
  /** The bridge that it is a port of. */
  readonly master?: string
  /** Of a port: what comes in may go out there again. */
  readonly hairpin?: true
}

/** The lines of `ip -batch` that make a change. */
export function ipLines(change: LinkChange): readonly string[] {
  switch (change.kind) {
    case 'add-bridge':
      return [`link add name ${change.name} address ${change.mac} type bridge forward_delay 0`]
    case 'add-veth': {
      const { name, mac, namespace } = change.peer
      const mtu = change.mtu === undefined ? '' : ` mtu ${change.mtu}`
      const peer = `${name}${mtu} address ${mac} netns /proc/${process.pid}/fd/${namespace}`
      return [`link add name ${change.name}${mtu} type veth peer name ${peer}`]
    }
    case 'set':
      return settingLines(change)
    case 'delete':
      return [`link delete dev ${change.device}`]
    case 'add-address':
      return [`address add ${change.address} dev ${change.device}${change.address.includes(':') ? ' nodad' : ''}`]
    case 'delete-address':
      return [`address delete ${change.address} dev ${change.device}`]
    case 'set-default-route': {
      const all = change.gateway.includes(':') ? '::/0' : 'default'
      return [`route replace ${all} via ${change.gateway} dev ${change.device}`]
    }
    default:
      return change satisfies never
  }
}

function settingLines({ device, up, alias, mtu, master, hairpin }: Extract<LinkChange, { kind: 'set' }>): string[] {
  const settings = [
    ...(alias === undefined ? [] : [`alias ${alias}`]),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
    ...(master === undefined ? [] : [`master ${master}`]),
    ...(hairpin === true ? ['type bridge_slave hairpin on'] : []),
    ...(up === true ? ['up'] : []),
  ]
  return settings.map((setting) => `link set dev ${device} ${setting}`)
}
