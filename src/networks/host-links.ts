import { CairnError } from '../errors/error.ts'
import { RouteSocket } from '../linux/netlink.ts'
import { errno, SystemCallError } from '../linux/errno.ts'
import { systemProgram } from '../linux/system-program.ts'
import { readTextFile } from '../linux/text-file.ts'
import { isRootless } from '../rootless/namespace.ts'
import { parseSubnet, type Subnet } from './addresses.ts'
import { type LinkChange, ipLines } from './link-change.ts'
import { readLinks, sendChange } from './link-messages.ts'
import { inNetworkHome, isElsewhere, networkCommand, networkFiles } from './place.ts'

/**
 * Devices and rules of the network namespace that is worked for: the kernel is told by messages, or where this thread cannot
 * go there, by calls of `ip` of iproute2; of rules by calls of `nft` of nftables.
 */

interface Tool {
  readonly name: 'ip' | 'nft'
  readonly package: string
}

const places = '/usr/sbin:/usr/bin:/sbin:/bin'

function requireTool({ name, package: owner }: Tool): string {
  const path = systemProgram(name)
  if (path !== undefined) return path
  throw new CairnError('TOOL_MISSING', `networks of containers need ${name}, which is not installed`, {
    hint: `Install it: \`apt-get install ${owner}\`. Or use the host's network: --network host.`,
  })
}

interface Result {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

function call(command: readonly string[], input = ''): Result {
  const { exitCode, stdout, stderr } = Bun.spawnSync(networkCommand(command), {
    stdin: new TextEncoder().encode(input),
    stdout: 'pipe',
    stderr: 'pipe',
    cwd: '/',
    env: { PATH: places, LC_ALL: 'C' },
  })
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString().trim() }
}

const ipTool: Tool = { name: 'ip', package: 'iproute2' }
const nftTool: Tool = { name: 'nft', package: 'nftables' }

/** Makes changes one after the other. The first that fails ends it, unless `lenient`. Throws TOOL_MISSING, TOOL_FAILED, NETWORK_IN_USE. */
export function changeLinks(changes: readonly LinkChange[], { lenient = false } = {}): void {
  if (changes.length === 0) return
  if (isElsewhere()) return callIp(changes, lenient)
  using socket = new RouteSocket()
  for (const change of changes)
    try {
      sendChange(socket, change)
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
      if (lenient) continue
      if (error.errno === errno.EEXIST) throw new CairnError('NETWORK_IN_USE', error.message, { cause: error })
      throw failure(error.message, error.errno === errno.EPERM)
    }
}

function callIp(changes: readonly LinkChange[], lenient: boolean): void {
  const input = changes.flatMap((change) => ipLines(change).map((line) => `${line}\n`)).join('')
  const { exitCode, stderr } = call([requireTool(ipTool), ...(lenient ? ['-force'] : []), '-batch', '-'], input)
  if (exitCode !== 0 && !lenient) throw toolFailure('ip', stderr)
}

/** Gives a whole ruleset to the kernel at once. Throws TOOL_MISSING, TOOL_FAILED. */
export function loadRules(text: string): void {
  const { exitCode, stderr } = call([requireTool(nftTool), '-f', '-'], text)
  if (exitCode !== 0) throw toolFailure('nft', stderr)
}

function toolFailure(name: string, stderr: string): CairnError {
  return failure(`${name}: ${stderr || 'failed'}`, /Operation not permitted/.test(stderr))
}

function failure(message: string, isDenied: boolean): CairnError {
  return new CairnError(isDenied ? 'NOT_ROOT' : 'TOOL_FAILED', message, {
    hint: isDenied
      ? 'Networks of containers need root. Without it use --network host or none.'
      : "What it was asked for needs the kernel's bridges, veth devices and nf_tables.",
  })
}

/** A device of this network namespace. */
export interface Link {
  readonly name: string
  /** What marks it as somebody's. */
  readonly alias: string
  readonly isBridge: boolean
  /** With the lengths of their prefixes. */
  readonly addresses: readonly string[]
}

interface LinkRow {
  readonly ifname: string
  readonly ifalias?: string
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen: number; readonly scope: string }[]
}

/** All devices where networks are, with addresses that are good beyond their link. Throws TOOL_MISSING, TOOL_FAILED. */
export function listLinks(): Link[] {
  return inNetworkHome(() => {
    if (isElsewhere()) return askIp()
    using socket = new RouteSocket()
    return readLinks(socket)
  })
}

function askIp(): Link[] {
  return query<LinkRow>(['-details', 'address']).map(
    ({ ifname, ifalias = '', linkinfo, addr_info: addresses = [] }) => ({
      name: ifname,
      alias: ifalias,
      isBridge: linkinfo?.info_kind === 'bridge',
      addresses: addresses
        .filter(({ scope }) => scope !== 'link')
        .map(({ local = '', prefixlen }) => `${local}/${prefixlen}`),
    }),
  )
}

function query<Item>(words: readonly string[]): Item[] {
  const { exitCode, stdout, stderr } = call([requireTool(ipTool), '-json', ...words, 'show'])
  if (exitCode !== 0) throw toolFailure('ip', stderr)
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Item[])
}

/** Addresses of devices and of routes, except those of devices whose alias begins with `own`, and default routes. */
export function usedSubnets(links: readonly Link[], own: string): Subnet[] {
  const isOther = ({ alias }: Link): boolean => !alias.startsWith(own)
  const ours = new Set(links.filter((link) => !isOther(link)).map(({ name }) => name))
  const addresses = links.filter(isOther).flatMap((link) => link.addresses.flatMap((text) => parseSubnet(text) ?? []))
  const read = (): Route[] => [...readRoutes(), ...readRoutes6()]
  // Those of this process's own network namespace too, where networks are in another.
  const routes = [...inNetworkHome(read), ...(isRootless() ? read() : [])].filter(
    ({ device, subnet }) => subnet.length > 0 && !ours.has(device),
  )
  return [...addresses, ...routes.map(({ subnet }) => subnet)]
}

interface Route {
  readonly device: string
  readonly subnet: Subnet
}

/** IPv4 routes of this network namespace; numbers are in the order of the bytes of this machine, which begin with the last. */
function readRoutes(): Route[] {
  const [, ...rows] = (readTextFile(`${networkFiles()}/route`) ?? '').trim().split('\n')
  return rows.flatMap((row) => {
    const [device = '', destination = '', , , , , , mask = ''] = row.split(/\s+/)
    const reversed = (text: string): bigint => BigInt(`0x${text.match(/../g)?.toReversed().join('') ?? '0'}`)
    if (!/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(mask)) return []
    const length = reversed(mask).toString(2).replaceAll('0', '').length
    return [{ device, subnet: { version: 4 as const, value: reversed(destination), length } }]
  })
}

function readRoutes6(): Route[] {
  const rows = (readTextFile(`${networkFiles()}/ipv6_route`) ?? '').trim().split('\n')
  return rows.flatMap((row) => {
    const [destination = '', length = '', , , , , , , , device = ''] = row.trim().split(/\s+/)
    if (!/^[0-9a-f]{32}$/i.test(destination)) return []
    return [
      {
        device,
        subnet: { version: 6 as const, value: BigInt(`0x${destination}`), length: Number.parseInt(length, 16) },
      },
    ]
  })
}

/** The programs that a firewall of IPv4 and one of IPv6 are told by. */
export type FirewallTool = 'iptables' | 'ip6tables'

/**
 * Lets packets of bridges pass a firewall that forwards nothing by default, as docker's does: rules of other tables cannot
 * allow what that one refuses. The rules with `comment` become those for `bridges`. True where there are such then; nothing
 * happens without such a firewall.
 */
export function allowForwarding(tool: FirewallTool, comment: string, bridges: readonly string[]): boolean {
  const path = systemProgram(tool)
  if (path === undefined) return false
  const { stdout, exitCode } = call([path, '-w', '-S', 'FORWARD'])
  if (exitCode !== 0) return false
  const rules = stdout.split('\n')
  const found = rules.filter(
    (rule) => rule.includes(`--comment ${comment} `) || rule.includes(`--comment "${comment}" `),
  )
  const isStrict = rules.includes('-P FORWARD DROP')
  const wanted = isStrict ? bridges.flatMap((bridge) => [`-i ${bridge}`, `-o ${bridge}`]) : []
  const sideOf = (rule: string): string => /(-[io] \S+)/.exec(rule)?.[1] ?? ''
  const gone = found.filter((rule) => !wanted.includes(sideOf(rule)))
  const missing = wanted.filter((side) => !found.some((rule) => rule.includes(`${side} `)))
  const lines = [
    ...gone.map((rule) => rule.replace('-A', '-D')),
    ...missing.map((side) => `-I FORWARD ${side} -m comment --comment ${comment} -j ACCEPT`),
  ]
  if (lines.length > 0) call([`${path}-restore`, '-w', '-n'], `*filter\n${lines.join('\n')}\nCOMMIT\n`)
  return wanted.length > 0
}
