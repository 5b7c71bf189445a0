import {
  type Address,
  contains,
  formatAddress,
  parseAddress,
  parseSubnet,
  type Subnet,
  subnetOf,
  width,
} from '../../networks/addresses.ts'

/** Bits of an IPv6 address that tell one client from another: who has one address has all of its network. */
const clientBits = 64

/** Reads `10.0.0.0/8`, or an address alone; undefined for anything else. */
export function parseProxies(text: string): Subnet | undefined {
  const address = readAddress(text)
  return address === undefined ? parseSubnet(text) : subnetOf(address, width(address))
}

/**
 * The address of the client that a request comes from. `peer` is who has connected. Where that is a proxy that is
 * trusted, it is the last address of the header X-Forwarded-For that is none of them: who stands before that one, anybody
 * may have written.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | null,
  proxies: readonly Subnet[],
): string | undefined {
  if (peer === undefined || forwardedFor === null || proxies.length === 0) return peer
  let client = peer
  for (const hop of forwardedFor.split(',').reverse()) {
    const address = readAddress(client)
    if (address === undefined || !proxies.some((one) => contains(one, address))) return client
    const before = readAddress(hop.trim())
    if (before === undefined) return client
    client = formatAddress(before)
  }
  return client
}

/** What limits count an address as. */
export function countedAddress(text: string): string {
  const address = text.includes(':') ? readAddress(text) : undefined
  if (address === undefined) return text
  return formatAddress(address.version === 4 ? address : subnetOf(address, clientBits))
}

/** An address, of which IPv4 in the form of IPv6 (`::ffff:10.0.0.1`) is IPv4. */
function readAddress(text: string): Address | undefined {
  const address = parseAddress(text)
  if (address?.version !== 6 || address.value >> 32n !== 0xff_ffn) return address
  return { version: 4, value: address.value & 0xff_ff_ff_ffn }
}
