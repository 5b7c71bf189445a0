import { readTextFile } from '../linux/text-file.ts'

/** Where systemd-resolved keeps the servers that its stub at 127.0.0.53 asks. */
const resolvedFile = '/run/systemd/resolve/resolv.conf'

/** Asked when the host's own servers are out of reach, as docker does. */
const publicServers = ['8.8.8.8', '8.8.4.4']

/** What `--dns`, `--dns-search` and `--dns-option` set. */
export interface ResolverOptions {
  /** The container shares the host's network, so servers on loopback addresses are in reach. */
  readonly hostNetwork?: boolean
  readonly servers?: readonly string[]
  readonly search?: readonly string[]
  readonly options?: readonly string[]
}

/**
 * The container's /etc/resolv.conf made from the host's: a file that only names systemd-resolved's stub is replaced by
 * the one behind it, servers on loopback addresses are dropped unless the network is the host's, and where none is left
 * public ones stand in.
 *
 * @param readHostFile - text of a file of the host, undefined where there is none
 */
export function resolverConfig(
  given: ResolverOptions = {},
  readHostFile: (path: string) => string | undefined = readTextFile,
): string {
  let text = readHostFile('/etc/resolv.conf') ?? ''
  if (given.hostNetwork !== true && usesOnlyStub(text)) text = readHostFile(resolvedFile) ?? text
  const lines = text.split('\n').map((line) => line.trim())
  const isPlain = given.servers === undefined && given.search === undefined && given.options === undefined
  if (given.hostNetwork === true && isPlain) return ensureNewline(text)

  const kept = lines.filter((line) => {
    const [keyword = '', value = ''] = line.split(/\s+/)
    if (keyword === 'nameserver')
      return given.servers === undefined && (given.hostNetwork === true || !isLoopback(value))
    if (keyword === 'search' || keyword === 'domain') return given.search === undefined
    if (keyword === 'options') return given.options === undefined
    return keyword !== '' && !keyword.startsWith('#') && !keyword.startsWith(';')
  })
  if (given.search !== undefined && given.search.length > 0 && given.search[0] !== '.')
    kept.push(`search ${given.search.join(' ')}`)
  for (const server of given.servers ?? []) kept.push(`nameserver ${server}`)
  if (!kept.some((line) => line.startsWith('nameserver')))
    kept.push(...publicServers.map((server) => `nameserver ${server}`))
  if (given.options !== undefined && given.options.length > 0) kept.push(`options ${given.options.join(' ')}`)
  return `${kept.join('\n')}\n`
}

function usesOnlyStub(text: string): boolean {
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1])
  return servers.length > 0 && servers.every((server) => server === '127.0.0.53')
}

function isLoopback(address: string): boolean {
  const [plain = ''] = address.split('%')
  return plain.startsWith('127.') || plain === '::1' || plain === '0:0:0:0:0:0:0:1'
}

/** What /etc/hosts names beside localhost. */
export interface HostsOptions {
  readonly hostname: string
  /** The container's own addresses; without one its name is one of 127.0.0.1. */
  readonly addresses?: readonly string[]
  /** `--add-host`. */
  readonly extraHosts?: readonly { readonly name: string; readonly address: string }[]
  /** Without IPv6 names of networks and multicast groups, as BuildKit's steps have it. */
  readonly isBrief?: boolean
}

const networkNames = [
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
]

/** The container's /etc/hosts. */
export function hostsFile({ hostname, addresses = [], extraHosts = [], isBrief = false }: HostsOptions): string {
  const own = addresses.length === 0 && hostname !== 'localhost' ? ` ${hostname}` : ''
  const lines = [
    `127.0.0.1\tlocalhost${own}`,
    '::1\tlocalhost ip6-localhost ip6-loopback',
    ...(isBrief ? [] : networkNames),
    ...extraHosts.map((host) => `${host.address}\t${host.name}`),
  ]
  for (const address of addresses) lines.push(`${address}\t${hostname}`)
  return `${lines.join('\n')}\n`
}

function ensureNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
