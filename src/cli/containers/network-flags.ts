import type { NetworkMode } from '../../containers/container.ts'
import { CairnError } from '../../errors/error.ts'
import { parseAddress } from '../../networks/addresses.ts'
import type { EndpointSetting, PortSetting } from '../../networks/network.ts'
import type { CommandContext } from '../context.ts'
import { invalidArgument } from '../flag-argument.ts'
import { parsePorts } from './port-flags.ts'

/** The flags of `run` and `create` about networks. */
export interface NetworkFlagValues {
  readonly network: readonly string[]
  readonly net: readonly string[]
  readonly 'network-alias': readonly string[]
  readonly ip: string | undefined
  readonly ip6: string | undefined
  readonly 'mac-address': string | undefined
  readonly publish: readonly string[]
  readonly 'publish-all': boolean
  readonly hostname: string | undefined
  readonly dns: readonly string[]
  readonly expose: readonly string[]
  readonly 'add-host': readonly string[]
}

/** What is asked for of networks. */
export interface NetworkRequest {
  readonly network: NetworkMode
  readonly networks?: readonly EndpointSetting[]
  readonly ports?: readonly PortSetting[]
  readonly publishAll?: boolean
}

/** Reads the flags about networks. Throws USAGE and CONFIG_INVALID in docker's words, NOT_SUPPORTED. */
export function parseNetworkFlags(ctx: CommandContext, flags: NetworkFlagValues): NetworkRequest {
  const given = [...flags.network, ...flags.net]
  if (given.includes('')) throw new CairnError('USAGE', 'no name set for network')
  const endpoints = (given.length === 0 ? ['default'] : given).map(parseNetwork)
  const [first = { network: 'default', aliases: [] }] = endpoints
  const mode = modeOf(ctx, first.network)
  const ports = parsePorts(flags.publish)
  if (mode !== 'bridge') {
    refuseTwice(endpoints.map(({ network }) => network))
    if (endpoints.length > 1)
      throw new CairnError(
        'CONFIG_INVALID',
        'conflicting options: cannot attach both user-defined and non-user-defined network-modes',
      )
    checkWithoutNetworks(mode, flags, first)
    if ((mode === 'host' || mode === 'default') && (ports.length > 0 || flags['publish-all']))
      ctx.stderr.write('WARNING: Published ports are discarded when using host network mode\n')
    return { network: mode }
  }
  const names = endpoints.map(({ network }) => network)
  if (names.some((name) => modeOf(ctx, name) !== 'bridge'))
    throw new CairnError(
      'CONFIG_INVALID',
      'conflicting options: cannot attach both user-defined and non-user-defined network-modes',
    )
  refuseTwice(names)
  const networks = endpoints.map((endpoint, index) => (index === 0 ? withFlags(endpoint, flags) : named(endpoint)))
  for (const { network, aliases, ip, ip6 } of networks) {
    if (network !== 'bridge') continue
    if (aliases.length > 0)
      throw new CairnError('CONFIG_INVALID', 'network-scoped aliases are only supported for user-defined networks')
    if (ip !== undefined || ip6 !== undefined)
      throw new CairnError(
        'CONFIG_INVALID',
        'invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only',
      )
  }
  return {
    network: 'bridge',
    networks,
    ...(ports.length > 0 ? { ports } : {}),
    ...(flags['publish-all'] ? { publishAll: true } : {}),
  }
}

function refuseTwice(names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new CairnError('USAGE', `network "${twice}" is specified multiple times`)
}

function modeOf(ctx: CommandContext, name: string): NetworkMode {
  if (name === 'host' || name === 'none') return name
  if (name.startsWith('container:')) {
    if (name === 'container:')
      throw new CairnError('CONFIG_INVALID', 'invalid network mode: invalid container format container:<name|id>')
    return name as `container:${string}`
  }
  return name === 'default' && ctx.env['CAIRN_NETWORK'] === 'host' ? 'default' : 'bridge'
}

function checkWithoutNetworks(
  mode: NetworkMode,
  flags: NetworkFlagValues,
  { aliases, ip, ip6, mac }: EndpointSetting,
): void {
  if (aliases.length > 0 || flags['network-alias'].length > 0)
    throw new CairnError('CONFIG_INVALID', 'network-scoped aliases are only supported for user-defined networks')
  if ([ip, ip6, flags.ip, flags.ip6].some((address) => address !== undefined && address !== ''))
    throw new CairnError(
      'CONFIG_INVALID',
      `invalid config for network ${mode}: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only`,
    )
  if (!mode.startsWith('container:')) return
  const conflicts: readonly (readonly [boolean, string])[] = [
    [(flags.hostname ?? '') !== '', 'hostname and the network mode'],
    [flags.dns.length > 0, 'dns and the network mode'],
    [flags['add-host'].length > 0, 'custom host-to-IP mapping and the network mode'],
    [mac !== undefined || (flags['mac-address'] ?? '') !== '', 'mac-address and the network mode'],
    [flags.publish.length > 0 || flags['publish-all'], 'port publishing and the container type network mode'],
    [flags.expose.length > 0, 'port exposing and the container type network mode'],
  ]
  for (const [isGiven, what] of conflicts)
    if (isGiven) throw new CairnError('CONFIG_INVALID', `conflicting options: ${what}`)
}

function named(endpoint: EndpointSetting): EndpointSetting {
  return endpoint.network === 'default' ? { ...endpoint, network: 'bridge' } : endpoint
}

function withFlags(endpoint: EndpointSetting, flags: NetworkFlagValues): EndpointSetting {
  const given = endpointOf(
    new Map([
      ['ip', flags.ip ?? ''],
      ['ip6', flags.ip6 ?? ''],
      ['mac-address', flags['mac-address'] ?? ''],
    ]),
  )
  return { ...named(endpoint), ...given, aliases: [...endpoint.aliases, ...flags['network-alias'].map(checkAlias)] }
}

/** A network's name, or fields: `name=net,alias=a,ip=172.20.0.5`. */
function parseNetwork(text: string): EndpointSetting {
  if (!/^[a-z0-9-]+=/.test(text)) return { network: text, aliases: [] }
  const wrong = (reason: string): CairnError => invalidArgument(text, '--network', reason)
  const values = new Map<string, string>()
  const aliases: string[] = []
  let name = ''
  for (const field of text.split(',')) {
    const equals = field.indexOf('=')
    const key = field.slice(0, equals).trim().toLowerCase()
    const value = field.slice(equals + 1).trim()
    if (equals < 0) throw wrong(`invalid field ${field}: must be a key=value pair`)
    if (key === 'name') name = value
    else if (key === 'alias') aliases.push(checkAlias(value))
    else if (key === 'ip' || key === 'ip6' || key === 'mac-address') values.set(key, value)
    else if (key === 'driver-opt' || key === 'link-local-ip' || key === 'gw-priority')
      throw new CairnError('NOT_SUPPORTED', `${key} of --network is not supported`)
    else throw wrong(`invalid field key ${key}`)
  }
  if (name === '') throw wrong('network name/id is not specified')
  return { network: name, aliases, ...endpointOf(values) }
}

/** Addresses of an endpoint, by the names of their flags; empty ones are not given. Throws USAGE. */
export function endpointOf(values: ReadonlyMap<string, string>): Pick<EndpointSetting, 'ip' | 'ip6' | 'mac'> {
  const ip = values.get('ip') ?? ''
  const ip6 = values.get('ip6') ?? ''
  const mac = values.get('mac-address') ?? ''
  if (ip !== '' && parseAddress(ip)?.version !== 4) throw new CairnError('USAGE', `invalid IPv4 address: ${ip}`)
  if (ip6 !== '' && parseAddress(ip6)?.version !== 6) throw new CairnError('USAGE', `invalid IPv6 address: ${ip6}`)
  if (mac !== '' && !/^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$/i.test(mac))
    throw new CairnError('USAGE', `${mac} is not a valid mac address`)
  return {
    ...(ip === '' ? {} : { ip }),
    ...(ip6 === '' ? {} : { ip6 }),
    ...(mac === '' ? {} : { mac: mac.toLowerCase().replaceAll('-', ':') }),
  }
}

/** A further name of a container in a network. Throws USAGE. */
export function checkAlias(alias: string): string {
  if (/^[\w][\w.-]{0,252}$/.test(alias)) return alias
  throw new CairnError('USAGE', `invalid network alias ${JSON.stringify(alias)}`, {
    hint: 'An alias has letters, digits, `_`, `.` and `-`.',
  })
}
