import { CairnError } from '../errors/error.ts'
import type { Store } from '../content/store.ts'
import {
  contains,
  formatAddress,
  formatSubnet,
  lastOf,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
  subnetOf,
} from './addresses.ts'
import type { Network, NetworkPool } from './network.ts'
import { listNetworks } from './network-records.ts'

/** Where docker takes subnets from: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on. */
function* candidates(): Generator<Subnet> {
  for (let second = 17n; second < 32n; second++)
    yield { version: 4, value: (172n << 24n) | (second << 16n), length: 16 }
  for (let third = 0n; third < 256n; third += 16n)
    yield { version: 4, value: (192n << 24n) | (168n << 16n) | (third << 8n), length: 20 }
}

/** The subnets of the networks in the store, without those of the network `except`. */
export function subnetsOfNetworks(store: Store, except?: string): Subnet[] {
  return listNetworks(store)
    .filter(({ id }) => id !== except)
    .flatMap(({ settings }) => settings.pools.flatMap(({ subnet }) => parseSubnet(subnet) ?? []))
}

/** An IPv4 subnet that has no address in common with `taken`. Throws NETWORK_IN_USE in docker's words. */
export function chooseSubnet(taken: readonly Subnet[]): NetworkPool {
  const found = candidates().find((candidate) => !taken.some((subnet) => overlaps(subnet, candidate)))
  if (found === undefined)
    throw new CairnError('NETWORK_IN_USE', 'all predefined address pools have been fully subnetted', {
      hint: 'Remove networks that are not needed, or give a --subnet.',
    })
  return poolOf(found)
}

/** An IPv6 subnet of a network's own, RFC 4193. */
export function chooseSubnet6(): NetworkPool {
  const random = crypto.getRandomValues(new Uint8Array(7))
  const value = random.reduce((bits, byte) => (bits << 8n) | BigInt(byte), 0xfdn) << 64n
  return poolOf({ version: 6, value, length: 64 })
}

/** A subnet whose first address is the gateway. */
export function poolOf(subnet: Subnet): NetworkPool {
  return { subnet: formatSubnet(subnet), gateway: formatAddress({ ...subnet, value: subnet.value + 1n }) }
}

/** Longest that is looked for a free address. */
const longestSearch = 1 << 17

/**
 * An address of the pool for a container: `wanted`, or the first that is free. Throws CONFIG_INVALID and NETWORK_IN_USE in
 * docker's words.
 */
export function chooseAddress(
  pool: NetworkPool,
  taken: ReadonlySet<string>,
  { name }: Pick<Network, 'name'>,
  wanted?: string,
): string {
  const subnet = readSubnet(pool.subnet)
  if (wanted !== undefined) {
    const address = parseAddress(wanted)
    if (address === undefined || !contains(subnet, address))
      throw new CairnError(
        'CONFIG_INVALID',
        `invalid endpoint settings:\nno configured subnet contains IP address ${wanted}`,
      )
    const text = formatAddress(address)
    if (taken.has(text) || text === pool.gateway) throw new CairnError('NETWORK_IN_USE', 'Address already in use')
    return text
  }
  const range = pool.range === undefined ? subnet : readSubnet(pool.range)
  const last = lastOf(range).value
  const edge = lastOf(subnet).value
  const reserved = new Set([pool.gateway, ...Object.values(pool.reserved ?? {})])
  for (let value = range.value, count = 0; value <= last && count < longestSearch; value++, count++) {
    // The first address is the subnet's own, the last of IPv4 means all of them.
    if (value === subnet.value || (subnet.version === 4 && value === edge && subnet.length < 31)) continue
    const text = formatAddress({ version: subnet.version, value })
    if (!taken.has(text) && !reserved.has(text)) return text
  }
  throw new CairnError(
    'NETWORK_IN_USE',
    `no available IPv${subnet.version} addresses on this network's address pools: ${name}`,
  )
}

/** The pool's subnet, or a part of it, which was read before. */
export function readSubnet(text: string): Subnet {
  const subnet = parseSubnet(text)
  if (subnet === undefined) throw new CairnError('CONFIG_INVALID', `invalid subnet ${text}: invalid CIDR address`)
  return subnetOf(subnet, subnet.length)
}
