import { recordEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import {
  contains,
  formatAddress,
  formatSubnet,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
  width,
} from './addresses.ts'
import { listLinks, usedSubnets } from './host-links.ts'
import type { NetworkPool } from './network.ts'
import { insertNetwork, listNetworks, newNetworkId } from './network-records.ts'
import { linkAlias } from './scope.ts'
import { chooseSubnet, chooseSubnet6, poolOf, subnetsOfNetworks } from './subnets.ts'

/** What a new network is to be like, in words of `docker network create`. */
export interface NetworkRequest {
  readonly name: string
  readonly driver: string
  readonly subnets: readonly string[]
  readonly gateways: readonly string[]
  readonly ranges: readonly string[]
  /** Addresses that containers do not get, by their names. */
  readonly reserved: Readonly<Record<string, string>>
  readonly internal: boolean
  readonly attachable: boolean
  readonly ipv6: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
}

/**
 * Makes a network of the driver `bridge`; gives its ID. Its subnet is clear of what the host uses, where none is asked for.
 * Throws NAME_IN_USE, NETWORK_IN_USE, CONFIG_INVALID, NOT_SUPPORTED, in docker's words where it has them; TOOL_MISSING.
 */
export function createNetwork(store: Store, request: NetworkRequest): string {
  const { name, driver, labels, internal, attachable, ipv6, options } = request
  checkDriver(driver)
  if (name === '' || /[\p{Cc}/]/u.test(name) || name.startsWith('container:'))
    throw new CairnError('CONFIG_INVALID', `invalid network name: ${name}`)
  if (['bridge', 'host', 'none', 'default'].includes(name))
    throw new CairnError('NAME_IN_USE', `operation is not permitted on predefined ${name} network`)
  checkOptions(options)
  const used = usedSubnets(listLinks(), linkAlias(store))
  const id = newNetworkId()
  return store.database.transaction(() => {
    if (listNetworks(store).some((network) => network.name === name))
      throw new CairnError('NAME_IN_USE', `network with name ${name} already exists`)
    const taken = subnetsOfNetworks(store)
    const given = requestedPools(request, [...taken, ...used])
    const has = (isIpv6: boolean): boolean => given.some(({ subnet }) => subnet.includes(':') === isIpv6)
    const pools = [
      ...(has(false) ? [] : [chooseSubnet([...taken, ...used])]),
      ...given,
      ...(ipv6 && !has(true) ? [chooseSubnet6()] : []),
    ].filter(({ subnet }) => ipv6 || !subnet.includes(':'))
    insertNetwork(store, {
      id,
      name,
      driver: 'bridge',
      settings: { internal, attachable, ipv4: true, ipv6, labels, options, pools, isChosen: !has(false) },
      createdAt: Date.now(),
    })
    recordEvent(store, 'network', 'create', id, { name, type: 'bridge' })
    return id
  })
}

function checkDriver(driver: string): void {
  if (driver === 'bridge') return
  if (driver === 'host' || driver === 'null')
    throw new CairnError('NOT_SUPPORTED', `only one instance of "${driver}" network is allowed`)
  throw new CairnError('NOT_SUPPORTED', `plugin "${driver}" not found`, { hint: 'Networks are of the driver bridge.' })
}

/** What each option may say. They are words of commands of `ip` and of rules. */
const knownOptions: Readonly<Record<string, RegExp>> = {
  'com.docker.network.bridge.name': /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$/,
  'com.docker.network.bridge.enable_icc': /^(?:true|false)$/,
  'com.docker.network.bridge.enable_ip_masquerade': /^(?:true|false)$/,
  'com.docker.network.driver.mtu': /^\d{2,5}$/,
}

function checkOptions(options: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(options)) {
    const known = Object.hasOwn(knownOptions, name) ? knownOptions[name] : undefined
    if (known === undefined)
      throw new CairnError('NOT_SUPPORTED', `unknown network option ${JSON.stringify(name)}`, {
        hint: `Options are ${Object.keys(knownOptions).join(', ')}.`,
      })
    if (!known.test(value))
      throw new CairnError('CONFIG_INVALID', `invalid value for ${name}: ${JSON.stringify(value)}`)
  }
}

function requestedPools(
  { subnets, gateways, ranges, reserved }: NetworkRequest,
  taken: readonly Subnet[],
): NetworkPool[] {
  const parsed = subnets.map((text) => {
    const subnet = parseSubnet(text)
    if (subnet === undefined) throw invalid(`invalid subnet ${text}: invalid CIDR block notation`)
    const base = parseAddress(text.split('/')[0] ?? '')
    if (base?.value !== subnet.value) throw invalid(`invalid subnet ${text}: it should be ${formatSubnet(subnet)}`)
    if (subnet.length > width(subnet) - 2) throw invalid(`invalid subnet ${text}: it has no address for a container`)
    if (taken.some((other) => overlaps(other, subnet)))
      throw new CairnError(
        'NETWORK_IN_USE',
        'invalid pool request: Pool overlaps with other one on this address space',
        {
          hint: `${text} is in use by another network, or by a route or an address of this machine.`,
        },
      )
    return subnet
  })
  for (const version of [4, 6] as const)
    if (parsed.filter((subnet) => subnet.version === version).length > 1)
      throw new CairnError('NOT_SUPPORTED', `a network has one IPv${version} subnet`)
  if (parsed.length === 0 && (gateways.length > 0 || ranges.length > 0))
    throw invalid('every ip-range or gateway must have a corresponding subnet')
  const homeOf = (text: string, what: string): Subnet => {
    const address = what === 'range' ? parseSubnet(text) : parseAddress(text)
    const home = address === undefined ? undefined : parsed.find((subnet) => contains(subnet, address))
    if (home === undefined) throw invalid(`no matching subnet for ${what} ${text}`)
    return home
  }
  const gatewayHomes = new Map(gateways.map((text) => [homeOf(text, 'gateway'), text]))
  const rangeHomes = new Map(ranges.map((text) => [homeOf(text, 'range'), text]))
  const aux = Object.entries(reserved).map(([name, text]) => ({ name, text, home: homeOf(text, 'aux-address') }))
  return parsed.map((subnet) => {
    const gateway = parseAddress(gatewayHomes.get(subnet) ?? '')
    const range = rangeHomes.get(subnet)
    const own = aux.filter(({ home }) => home === subnet)
    return {
      ...poolOf(subnet),
      ...(gateway === undefined ? {} : { gateway: formatAddress(gateway), hasOwnGateway: true }),
      ...(range === undefined ? {} : { range }),
      ...(own.length === 0 ? {} : { reserved: Object.fromEntries(own.map(({ name, text }) => [name, text])) }),
    }
  })
}

function invalid(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}
