import { parseAddress } from './addresses.ts'
import type { Network, PublishedPort } from './network.ts'

/** A network whose bridge is up. */
export interface BridgedNetwork {
  readonly network: Pick<Network, 'settings'>
  readonly bridge: string
}

/** What takes a table away, whether it is there or not, for `nft -f`. */
export function removal(table: string): string {
  return `table inet ${table}\ndelete table inet ${table}\n`
}

/**
 * The nf_tables rules of a store as one table, for `nft -f`. docker's: containers reach the world by the host's address; from outside a network they
 * are reached at published ports alone; networks are kept apart.
 */
export function ruleset(table: string, networks: readonly BridgedNetwork[], ports: readonly PublishedPort[]): string {
  return `table inet ${table} {
  chain ports {
${lines(ports.flatMap(redirection))}
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump ports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump ports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
${lines(networks.flatMap(masquerades))}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
${lines(networks.flatMap(passages))}
  }
}
`
}

function lines(rules: readonly string[]): string {
  return rules.map((rule) => `    ${rule}`).join('\n')
}

/** Ports of IPv6 addresses of the host are taken by the forwarder: there is no way from them to an IPv4 address here. */
function redirection({ protocol, hostAddress, hostPort, address, port }: PublishedPort): string[] {
  if (parseAddress(hostAddress)?.version !== 4 || hostAddress.startsWith('127.')) return []
  const to = hostAddress === '0.0.0.0' ? '' : `ip daddr ${hostAddress} `
  return [`meta nfproto ipv4 ${to}${protocol} dport ${hostPort} dnat ip to ${address}:${port}`]
}

function masquerades({ network: { settings }, bridge }: BridgedNetwork): string[] {
  const masks = settings.options['com.docker.network.bridge.enable_ip_masquerade'] !== 'false' && !settings.internal
  return settings.pools.flatMap(({ subnet }) => {
    const family = subnet.includes(':') ? 'ip6' : 'ip'
    return [
      // A container that uses a published port of its own network: the answer has to come back the same way.
      `${family} saddr ${subnet} oifname "${bridge}" ct status dnat masquerade`,
      ...(masks ? [`${family} saddr ${subnet} oifname != "${bridge}" masquerade`] : []),
    ]
  })
}

function passages({ network: { settings }, bridge }: BridgedNetwork): string[] {
  const among = settings.options['com.docker.network.bridge.enable_icc'] === 'false' ? 'drop' : 'accept'
  if (settings.internal)
    return [
      `iifname "${bridge}" oifname != "${bridge}" drop`,
      `iifname != "${bridge}" oifname "${bridge}" drop`,
      `iifname "${bridge}" oifname "${bridge}" ${among}`,
    ]
  return [
    `oifname "${bridge}" ct state established,related accept`,
    `oifname "${bridge}" ct status dnat accept`,
    `iifname "${bridge}" oifname "${bridge}" ${among}`,
    `oifname "${bridge}" drop`,
  ]
}
