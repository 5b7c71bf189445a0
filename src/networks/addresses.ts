/** An IPv4 or IPv6 address as a number. */
export interface Address {
  readonly version: 4 | 6
  readonly value: bigint
}

/** The addresses that begin with the first `length` bits of `value`, whose other bits are 0. */
export interface Subnet extends Address {
  readonly length: number
}

/** Reads an address in its usual text; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(':')) {
    const value = parseGroups(text)
    return value === undefined ? undefined : { version: 6, value }
  }
  const value = parseQuad(text)
  return value === undefined ? undefined : { version: 4, value }
}

function parseQuad(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n)
}

/** RFC 4291 §2.2. */
function parseGroups(text: string): bigint | undefined {
  const quad = /^(.*:)([^:]*\.[^:]*)$/.exec(text)
  const low = quad === null ? undefined : parseQuad(quad[2] ?? '')
  if (quad !== null && low === undefined) return undefined
  const plain =
    low === undefined ? text : `${quad?.[1] ?? ''}${(low >> 16n).toString(16)}:${(low & 0xff_ffn).toString(16)}`
  const halves = plain.split('::')
  if (halves.length > 2) return undefined
  const [before = [], after = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - before.length - after.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  const groups = [...before, ...Array.from({ length: missing }, () => '0'), ...after]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

/** The usual text of an address; RFC 5952 for IPv6. */
export function formatAddress({ version, value }: Address): string {
  if (version === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((value >> BigInt(112 - 16 * index)) & 0xff_ffn).toString(16),
  ).join(':')
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1)
}

/** Bits of an address. */
export function width({ version }: Pick<Address, 'version'>): number {
  return version === 4 ? 32 : 128
}

/** Reads `172.20.0.0/16`; bits after the prefix are dropped. Undefined for anything else. */
export function parseSubnet(text: string): Subnet | undefined {
  const [, base = '', digits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const address = parseAddress(base)
  if (address === undefined || Number(digits) > width(address)) return undefined
  return subnetOf(address, Number(digits))
}

/** The subnet of so many bits that an address is in. */
export function subnetOf({ version, value }: Address, length: number): Subnet {
  const free = BigInt(width({ version }) - length)
  return { version, value: (value >> free) << free, length }
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress(subnet)}/${subnet.length}`
}

/** The last address of a subnet. */
export function lastOf({ version, value, length }: Subnet): Address {
  return { version, value: value | ((1n << BigInt(width({ version }) - length)) - 1n) }
}

/** True for an address of the subnet, and for a subnet within it. */
export function contains(subnet: Subnet, { version, value }: Address): boolean {
  return subnet.version === version && value >= subnet.value && value <= lastOf(subnet).value
}

/** True where two subnets have an address in common. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  return contains(a, b) || contains(b, a)
}
